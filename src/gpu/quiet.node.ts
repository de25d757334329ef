// Dawn prints two lines about limits that it halves ("artificially reduced") to stderr while it looks for adapters, and has no switch for them.
// The file descriptor is turned to /dev/null meanwhile, where that is safe: on terminals, pipes and files that are
// appended to. On sockets (pipes that Node makes for its children) and other files the lines are printed; `npx dawnfield` takes them out there.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const STDERR = 2;
/** Bits of open(2) on Linux. */
const APPEND = 0o2000;

/**
 * Whatever else this process does at the moment might open a file, which would then get the descriptor that is free for a moment. A file that is
 * being closed (CloseReq: Node's loader is often still at it) opens nothing, and frees a number above that of stderr.
 */
const isAlone = (): boolean =>
  isMainThread &&
  process
    .getActiveResourcesInfo()
    .every((name) => /^(TTYWrap|PipeWrap|Timeout|Immediate|SignalWrap|TickObject|CloseReq)$/.test(name));

/** Whether stderr, opened again by name, writes where it wrote: a file that is not appended to would be written at another place. */
function canReopen(): boolean {
  const kind = fstatSync(STDERR);
  if (kind.isFIFO() || kind.isCharacterDevice()) return true;
  const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(readFileSync('/proc/self/fdinfo/2', 'utf8')) ?? [];
  return kind.isFile() && (Number.parseInt(flags, 8) & APPEND) !== 0;
}

/** Another descriptor of what stderr writes to, or null where it must stay as it is. */
function second(): number | null {
  try {
    if (process.platform !== 'linux' || !isAlone() || !canReopen()) return null;
    fstatSync(0);
    fstatSync(1); // the lowest free number is then that of stderr
    return openSync('/proc/self/fd/2', 'a');
  } catch {
    return null;
  }
}

/** `body`, with what native code writes to stderr while it runs left out. Its own messages come as errors. */
export function quietly<T>(body: () => T): T {
  const kept = second();
  if (kept === null) return body();
  const turn = (path: string): void => {
    closeSync(STDERR);
    openSync(path, 'a');
  };
  turn('/dev/null');
  try {
    return body();
  } finally {
    turn(`/proc/self/fd/${kept}`);
    closeSync(kept);
  }
}
