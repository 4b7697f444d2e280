"""Memory kept by the process between calls, for speed on CPUs."""

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # parameters of glibc's mallopt


def keep_memory() -> bool:
    """Have the C library keep freed memory for the next allocation, where it is glibc.

    XLA allocates a program's temporary memory in every call. By default glibc gives large blocks
    back when they are freed (at once in the arenas of threads, hence one arena here), and the
    kernel fills every page of the next one with zeros: 0.4 ms a MiB, a fifth of a SiamFC step and
    half of a depthwise correlation. The process then stays as large as it once was, so this is for
    programs, not for libraries to decide: the command line calls it; a program of one's own calls
    it once, before anything starts threads.

    Returns:
        Whether the C library took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    return all(mallopt(name, value) for name, value in settings)
