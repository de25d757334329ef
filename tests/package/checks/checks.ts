// What looks the package over, each a package of this folder: publint, attw, and TypeScript 7, whose compiler is another program than its
// forerunners'. They stay in a folder of their own, since attw brings a TypeScript along that other tests must not find.
import { join } from 'node:path';
import { root } from '../../bundle';
import { hasPackages, packageOf } from '../../packages';

const folder = 'tests/package/checks';

/** Whether they are installed, which is done first. */
export const hasChecks = (): boolean => hasPackages(folder);

/** The command of TypeScript 7, for Node. */
export const typescript7 = join(root, folder, 'node_modules/typescript-7/bin/tsc');

/** What publint says of a packed package. */
export async function publintOf(packed: Uint8Array) {
  const { publint } = await packageOf<typeof import('publint')>(folder, 'publint');
  const { messages } = await publint({ pack: { tarball: new Uint8Array(packed).buffer } });
  return messages;
}

/** The problems that attw finds in how a packed package resolves, and for whom. */
export async function attwOf(packed: Uint8Array) {
  const core = await packageOf<typeof import('@arethetypeswrong/core')>(folder, '@arethetypeswrong/core');
  const { problems } = (await core.checkPackage(core.createPackageFromTarballData(new Uint8Array(packed)))) as {
    problems: { kind: string; entrypoint?: string; resolutionKind?: string }[];
  };
  return problems;
}
