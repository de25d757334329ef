// What a device has cost so far.

/** Counters since the device was made (bytes: now and at most). All are exact. */
export interface DeviceStats {
  /** Bytes of buffers in use by tensors. */
  liveBytes: number;
  /** The most bytes that there were. */
  peakBytes: number;
  /** Bytes of computed tensors that the program may still reach, or the collector has not reported yet; kept ones left out. */
  heldBytes: number;
  /** Bytes of all buffers, those waiting in the pool included. */
  reservedBytes: number;
  /** Buffers created. */
  buffersCreated: number;
  /** Bind groups created. */
  bindGroupsCreated: number;
  /** Pipelines compiled. */
  pipelinesCreated: number;
  /** Launches. */
  dispatches: number;
  /** Submits. */
  submits: number;
  /** Reads back to the host. */
  reads: number;
}
