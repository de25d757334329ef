// What a device has cost so far.

/** Counters since the device was made (bytes: now and at most). All are exact. */
export interface DeviceStats {
  /** Bytes of buffers in use by tensors. */
  liveBytes: number;
  /** The largest `liveBytes` so far. */
  peakBytes: number;
  /** Bytes of computed tensors that the program may still reach, or the collector has not reported yet; kept ones left out. */
  heldBytes: number;
  /** Bytes of all buffers, those waiting in the pool included. */
  reservedBytes: number;
  /** Buffers made so far; a steady training loop makes no more. */
  buffersCreated: number;
  /** Bind groups made so far; they are cached by kernel and buffers. */
  bindGroupsCreated: number;
  /** Kernels compiled so far. */
  pipelinesCreated: number;
  /** Kernel launches so far. */
  dispatches: number;
  /** Batches of commands given to the GPU so far. */
  submits: number;
  /** Copies from the GPU to the host so far, each of which waits for the GPU. */
  reads: number;
}
