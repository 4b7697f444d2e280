document.querySelectorAll('table.sorts').forEach(table => {
  const body = table.tBodies[0], heads = [...table.tHead.querySelectorAll('th')];
  const key = (row, column) => row.cells[column].dataset.v;
  const sort = (head, up) => {
    const column = head.cellIndex, sign = up ? 1 : -1, words = head.dataset.kind === 'words';
    heads.forEach(one => one.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    [...body.rows].sort((a, b) => sign * (words
      ? key(a, column).localeCompare(key(b, column), undefined, {numeric: true})
      : key(a, column) - key(b, column))).forEach(row => body.append(row));
  };
  heads.forEach(head => {
    const button = head.querySelector('button');
    if (button) button.onclick = () => {
      const order = head.getAttribute('aria-sort');
      sort(head, order ? order === 'descending' : head.dataset.kind === 'words');
    };
  });
  const choice = document.querySelector(`select[data-for="${table.id}"]`);
  if (choice) choice.onchange = () => {
    const spread = table.querySelectorAll('td[data-spread]');
    table.querySelectorAll('td[data-numbers]').forEach(cell => {
      const value = JSON.parse(cell.dataset.numbers)[choice.value];
      cell.dataset.v = value;
      cell.querySelector('.number').textContent = value.toFixed(3);
      cell.querySelector('.meter i').style.width = `${100 * value}%`;
    });
    spread.forEach(cell => {
      const values = [...cell.parentElement.querySelectorAll('td[data-numbers]')]
        .map(one => Number(one.dataset.v));
      const most = Math.max(...values);
      cell.dataset.v = most - Math.min(...values);
      cell.textContent = Number(cell.dataset.v).toFixed(3);
      cell.parentElement.querySelectorAll('td[data-numbers]').forEach((one, k) =>
        one.classList.toggle('best', values[k] === most));
    });
    const sorted = heads.find(head => head.hasAttribute('aria-sort'));
    if (sorted) sort(sorted, sorted.getAttribute('aria-sort') === 'ascending');
  };
});
document.querySelectorAll('table.sorts tbody tr').forEach(row =>
  [['mouseenter', true], ['mouseleave', false]].forEach(([event, on]) =>
    row.addEventListener(event, () => document.querySelectorAll('.each').forEach(curve =>
      curve.classList.toggle('lit', on && curve.dataset.n === row.cells[0].dataset.v)))));
