// Where a GPU comes from: the browser's `navigator.gpu`, or what the Node adapter registers here. Nothing else in the framework knows the difference.

/** How to choose an adapter. Environment variables (Node) fill in what is left out. */
export interface AdapterOptions {
  /** 'gpu' accepts hardware only, 'software' forces a software driver; any other text must occur in the adapter's description. */
  adapter?: string;
  /** 'high-performance' or 'low-power', where a machine has both; passed on to `requestAdapter`. */
  powerPreference?: GPUPowerPreference;
  /** 'safe': what browsers run. 'fast': no bounds checks and no validation; native only. */
  profile?: 'safe' | 'fast';
  /** Notes the shapes of convolutions and matrix products, so that `tune()` can choose among their kernels (default false). */
  autotune?: boolean;
  /**
   * Matrix units (`chromium-experimental-subgroup-matrix`) for matrix products, convolutions and attention of float16: true uses them wherever they fit, and
   * throws where the adapter has none; false never. Left out, `tune()` tries them on GPUs that have some.
   */
  subgroupMatrix?: boolean;
  /**
   * Kernels compile side by side while the program goes on: what is launched meanwhile waits for them, in its order, and reads wait for it.
   * Default: true where the GPU tells its errors late, as browsers do, false in Node, where a kernel's error is thrown at its launch.
   */
  asyncPipelines?: boolean;
  /**
   * Bytes of computed tensors that a program may hold; beyond it those that were not used for longest are released, and say so when they are
   * used again. By default nothing that the garbage collector has proved reachable is released.
   */
  memoryLimit?: number;
}

/** A value that follows an async body through its awaits, and is seen nowhere else. */
export interface AsyncContext<T> {
  run<R>(value: T, body: () => R): R;
  /** The value of the body that runs, if it runs in one. */
  get(): T | undefined;
}

/** Keeps small texts from one session to the next. Its methods may throw. */
export interface TextStore {
  /** Where the text of this name lies, for messages. */
  place(name: string): string;
  /** The text, or null where there is none. */
  read(name: string): string | null;
  /** Replaces the text: a reader sees the old one or all of the new one. */
  write(name: string, text: string): void;
}

/** A source of adapters. */
export interface Provider {
  /** Options set outside the program, such as environment variables. */
  environment?(): AdapterOptions;
  /** The adapter, or null with the reason in `explain`. */
  requestAdapter(options: AdapterOptions): Promise<GPUAdapter | null>;
  /** What a user can do when there is no adapter. */
  explain(): string;
  readonly store: TextStore;
  /** Whether the GPU's errors are there when the call that makes them returns. Browsers tell them later. */
  readonly errorsAtOnce?: boolean;
  /** A function that collects garbage at once, after which the WeakRefs of what was unreachable are empty; null where there is none. */
  collector?(): (() => void) | null;
  asyncContext?<T>(): AsyncContext<T>;
  /** Blocks the thread for a fifth of a millisecond. Only where awaiting spins and steals a core from a software driver. */
  nap?(): void;
}

const browser: Provider = {
  store: {
    place: (name) => `localStorage['dawnfield/${name}']`,
    read: (name) => globalThis.localStorage?.getItem(`dawnfield/${name}`) ?? null,
    write: (name, text) => globalThis.localStorage?.setItem(`dawnfield/${name}`, text),
  },
  async requestAdapter({ powerPreference, adapter }) {
    const gpu = globalThis.navigator?.gpu;
    if (!gpu) return null;
    return gpu.requestAdapter({ powerPreference, forceFallbackAdapter: adapter === 'software' });
  },
  explain: () =>
    globalThis.navigator?.gpu
      ? 'The browser has WebGPU but found no adapter: update the graphics driver, or look at chrome://gpu.'
      : 'This page has no WebGPU: use a current Chrome, Edge, Safari or Firefox, over https or on localhost.',
};

let current = browser;

/** The provider in use. */
export const provider = (): Provider => current;

/** Called by the Node adapter when its module is loaded. */
export function setProvider(next: Provider): void {
  current = next;
}
