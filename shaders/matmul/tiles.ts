// A product over workgroup tiles: on the adapter's matrix units where they are to be used, else in invocations' registers.
import type { Kernel } from '../kernel';
import type { Half } from '../precision';
import type { KernelTarget } from '../target';
import { matrixChoice, type Variant } from '../variants';
import { chooseTile, type Tile, type TiledProduct, tiledProduct } from './gpu-tiles';
import { type MatrixTile, matrixProduct, matrixTile } from './subgroup-matrix';

/** The tile on matrix units for a product of `m` rows; null where it does not run there. */
export const onMatrices = (half: Half | undefined, target: KernelTarget, m: number, variant: Variant) =>
  matrixTile(half, target, m, matrixChoice(variant));

/** The tile of a product of `m` rows, of either kind. */
export const tileFor = (half: Half | undefined, target: KernelTarget, m: number, variant: Variant): Tile | MatrixTile =>
  onMatrices(half, target, m, variant) ?? chooseTile(m, variant.tile);

/** The product in such tiles. Epilogues are for float32, which matrix units do not multiply. */
export const workgroupProduct = (name: string, p: Omit<TiledProduct, 'tile'>, tile: Tile | MatrixTile): Kernel =>
  'unit' in tile ? matrixProduct(`${name}.matrix`, p, tile) : tiledProduct(name, { ...p, tile });
