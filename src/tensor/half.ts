// Which devices have half precision.
import { AdapterError, device } from '../gpu';

/** Throws AdapterError where the device has no halves. `what` names the operation. */
export function requireHalf(what: string): void {
  if (device().features.has('shader-f16')) return;
  throw new AdapterError(
    `${what}: this adapter (${device().info.description || device().info.vendor}) has no 'shader-f16', so there are no float16 tensors on it. ` +
      "Use float32: leave dtype out, or convert with to('float32'); autocast and --amp need another adapter.",
  );
}
