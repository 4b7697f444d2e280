(() => {
  const data = JSON.parse(document.getElementById('frames').textContent);
  const get = id => document.getElementById(id);
  const view = get('view'), slider = get('frame'), choice = get('sequence'), play = get('play');
  const brush = view.getContext('2d'), shown = data.trackers.map(() => true);
  const make = (kind, attributes, parent) => {
    const one = document.createElementNS('http://www.w3.org/2000/svg', kind);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    parent?.append(one);
    return one;
  };
  const numbers = text => new Int16Array(
    Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
  let now = null, index = 0, timer = 0, last = 0, cursor = null, picture = null;
  let full = 1000;
  const ahead = 12;
  const place = k => 40 + (full - 48) * k / Math.max(now.count - 1, 1);

  function open(chosen) {
    const one = data.sequences[chosen];
    now = {
      ...one, place: chosen, truth: numbers(one.truth), boxes: one.boxes.map(numbers),
      overlap: one.overlap.map(numbers),
      taken: Object.keys(one.pictures).map(Number).sort((a, b) => a - b), loaded: new Map(),
    };
    now.count = now.truth.length / 4;
    choice.value = chosen;
    slider.max = now.count - 1;
    view.width = one.size[0];
    view.height = one.size[1];
    view.style.maxWidth = `${Math.max(one.size[0], 560)}px`;
    picture = null;
    drawTimeline();
    show(0);
    document.querySelectorAll('tr[aria-current]').forEach(row => row.removeAttribute('aria-current'));
    document.querySelectorAll('[data-open]').forEach(button => {
      if (Number(button.dataset.open) === chosen)
        button.closest('tr').setAttribute('aria-current', 'true');
    });
  }

  function outline(box, color, dash, wide) {
    if (box[0] === data.absent) return;
    const place = [...box].map(value => value / now.scale);
    brush.setLineDash([]);
    brush.lineWidth = wide + 2;
    brush.strokeStyle = 'rgba(0,0,0,.65)';
    brush.strokeRect(...place);
    brush.setLineDash(dash.map(length => length * wide / 2));
    brush.lineWidth = wide;
    brush.strokeStyle = color;
    brush.strokeRect(...place);
  }

  function draw() {
    const wide = Math.max(2, view.width / 240);
    brush.fillStyle = '#23282e';
    brush.fillRect(0, 0, view.width, view.height);
    if (picture) brush.drawImage(picture, 0, 0, view.width, view.height);
    outline(now.truth.subarray(4 * index, 4 * index + 4), '#ffffff', [], wide * 1.8);
    data.trackers.forEach((one, k) => {
      if (shown[k])
        outline(now.boxes[k].subarray(4 * index, 4 * index + 4), one.bright, one.dash, wide);
    });
  }

  function load(frame) {
    if (!now.loaded.has(frame)) {
      const one = new Image();
      now.loaded.set(frame, one);
      one.onload = () => { if (now.wanted === one) { picture = one; draw(); } };
      one.src = now.pictures[frame];
    }
    return now.loaded.get(frame);
  }

  function show(wanted) {
    index = Math.min(Math.max(wanted, 0), now.count - 1);
    slider.value = index;
    const frame = index * data.step, taken = now.taken.findLast(k => k <= frame);
    get('number').textContent = `frame ${frame} of ${now.frames - 1}` +
      (taken !== undefined && taken !== frame ? `, picture of ${taken}` : '');
    if (taken !== undefined) {
      now.wanted = load(taken);
      if (now.wanted.complete && now.wanted.naturalWidth) picture = now.wanted;
      const next = now.taken.indexOf(taken) + 1;
      now.taken.slice(next, next + ahead).forEach(load);
    }
    data.trackers.forEach((_, k) => {
      const value = now.overlap[k][index];
      get(`overlap-${k}`).textContent =
        value === data.absent ? 'no truth' : value === 0 ? 'lost' : (value / 1000).toFixed(2);
      get(`overlap-${k}`).classList.toggle('lost', value === 0);
    });
    const across = place(index);
    cursor.setAttribute('x1', across);
    cursor.setAttribute('x2', across);
    draw();
  }

  function drawTimeline() {
    const holder = get('timeline'), height = 190 + 12 * data.trackers.length;
    full = Math.max(holder.clientWidth, 240);
    const level = value => 160 - 148 * value / 1000;
    holder.replaceChildren();
    const chart = make('svg', {
      viewBox: `0 0 ${full} ${height}`, role: 'img',
      'aria-label': `overlap over time of ${now.name}; failures are marked below`,
    }, holder);
    const wide = (full - 48) / Math.max(now.count - 1, 1);
    const columns = (values, wanted, y, tall, attributes) => {
      let path = '';
      for (let k = 0; k < now.count; k++) {
        if (values[k] !== wanted) continue;
        let end = k;
        while (end + 1 < now.count && values[end + 1] === wanted) end++;
        path += `M${(place(k) - wide / 2).toFixed(1)} ${y}h${(wide * (end - k + 1)).toFixed(1)}` +
          `v${tall}h${(-wide * (end - k + 1)).toFixed(1)}z`;
        k = end;
      }
      if (path) make('path', {d: path, ...attributes}, chart);
    };
    columns(now.overlap[0], data.absent, 12, 148, {class: 'absent'});
    [0, 0.5, 1].forEach(value => {
      make('line', {x1: 40, x2: full - 8, y1: level(1000 * value), y2: level(1000 * value),
        class: 'grid'}, chart);
      make('text', {x: 32, y: level(1000 * value) + 4, 'text-anchor': 'end'}, chart)
        .textContent = value.toFixed(1);
    });
    data.trackers.forEach((one, k) => {
      const y = 172 + 12 * k;
      if (shown[k]) {
        let path = '', pen = 'M';
        now.overlap[k].forEach((value, j) => {
          if (value === data.absent) { pen = 'M'; return; }
          path += `${pen}${place(j).toFixed(1)} ${level(value).toFixed(1)}`;
          pen = 'L';
        });
        make('path', {d: path || 'M0 0', class: 'curve',
          style: `stroke:var(--${one.part});stroke-dasharray:${one.dash.join(' ')}`}, chart);
      }
      make('line', {x1: 40, x2: full - 8, y1: y + 4, y2: y + 4, class: 'grid'}, chart);
      columns(now.overlap[k], 0, y, 8, {style: `fill:var(--${one.part})`, class: 'failure'});
    });
    cursor = make('line', {y1: 6, y2: height - 6, class: 'cursor'}, chart);
    const seek = event => {
      const area = chart.getBoundingClientRect();
      const across = (event.clientX - area.left) / area.width * full;
      show(Math.round((across - 40) / (full - 48) * (now.count - 1)));
    };
    chart.onpointerdown = event => { chart.setPointerCapture(event.pointerId); seek(event); };
    chart.onpointermove = event => { if (event.buttons) seek(event); };
  }

  function run(time) {
    const each = 1000 / Number(get('speed').value) * data.step;
    if (!last) last = time;
    const steps = Math.floor((time - last) / each);
    if (steps) {
      last += steps * each;
      if (index + steps >= now.count - 1) { show(now.count - 1); pause(); return; }
      show(index + steps);
    }
    timer = requestAnimationFrame(run);
  }
  function pause() {
    cancelAnimationFrame(timer);
    timer = last = 0;
    play.textContent = 'Play';
    play.setAttribute('aria-pressed', 'false');
  }
  function toggle() {
    if (timer) { pause(); return; }
    if (index === now.count - 1) show(0);
    play.textContent = 'Pause';
    play.setAttribute('aria-pressed', 'true');
    timer = requestAnimationFrame(run);
  }
  const move = step => {
    pause();
    open((now.place + step + data.sequences.length) % data.sequences.length);
  };

  data.sequences.forEach((one, k) => choice.append(new Option(one.name, k)));
  const legend = (color, name, number) => {
    const item = document.createElement('li'), label = document.createElement('label');
    const swatch = make('svg', {viewBox: '0 0 34 8', class: 'swatch', 'aria-hidden': 'true'});
    make('line', {x1: 0, x2: 34, y1: 4, y2: 4, style: `stroke:${color};stroke-width:4;` +
      `stroke-dasharray:${number === null ? '' : data.trackers[number].dash.join(' ')}`}, swatch);
    const text = document.createElement('span');
    text.textContent = name;
    if (number !== null) {
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.checked = true;
      box.onchange = () => { shown[number] = box.checked; drawTimeline(); show(index); };
      label.append(box);
    }
    label.append(swatch, text);
    item.append(label);
    if (number !== null) {
      const value = document.createElement('b');
      value.id = `overlap-${number}`;
      item.append(value);
    }
    get('legend').append(item);
  };
  legend('#ffffff', 'truth', null);
  data.trackers.forEach((one, k) => legend(one.bright, one.name, k));

  play.onclick = toggle;
  slider.oninput = () => { pause(); show(Number(slider.value)); };
  choice.onchange = () => { pause(); open(Number(choice.value)); };
  get('earlier').onclick = () => move(-1);
  get('later').onclick = () => move(1);
  get('player').addEventListener('keydown', event => {
    const step = event.shiftKey ? 10 : 1, act = {
      ' ': toggle, ArrowRight: () => { pause(); show(index + step); },
      ArrowLeft: () => { pause(); show(index - step); }, Home: () => { pause(); show(0); },
      End: () => { pause(); show(now.count - 1); }, '[': () => move(-1), ']': () => move(1),
    }[event.key];
    const own = event.target.matches('select') ||
      (event.key === ' ' && event.target.matches('button, input[type=checkbox]'));
    if (!act || own || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.querySelectorAll('[data-open]').forEach(button => button.onclick = () => {
    pause();
    open(Number(button.dataset.open));
    get('player').scrollIntoView({block: 'start'});
    view.focus({preventScroll: true});
  });
  window.addEventListener('resize', () => { drawTimeline(); show(index); });
  open(Number(document.querySelector('[data-open]')?.dataset.open ?? 0));
})();
