// Reference material beside the project (../shared), which not every checkout has: tests that need it are skipped without it.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const shared = fileURLToPath(new URL('../../shared/', import.meta.url));

/**
 * The absolute path of a file or folder of ../shared, or null where it is absent.
 *
 *     const weights = sharedPath('checkpoints', 'resnet20.safetensors');
 *     (weights ? test : test.skip)('reads PyTorch weights', …)
 */
export function sharedPath(...parts: string[]): string | null {
  const path = shared + parts.join('/');
  return existsSync(path) ? path : null;
}
