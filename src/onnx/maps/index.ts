// All mappings, by the names of the operations.
import { binary } from './binary';
import { composed } from './composed';
import { convolutions } from './conv';
import { lookup } from './lookup';
import type { Instead, Mappings } from './mapping';
import { norms } from './norm';
import { insteadOfPools, pools } from './pool';
import { insteadOfProducts, products } from './products';
import { insteadOfRecurrent, recurrent } from './recurrent';
import { reductions } from './reduce';
import { scatters } from './scatter';
import { insteadOfShapes, shapes } from './shapes';
import { unary } from './unary';

export const MAPPINGS: Mappings = {
  ...unary,
  ...binary,
  ...shapes,
  ...products,
  ...convolutions,
  ...pools,
  ...norms,
  ...reductions,
  ...recurrent,
  ...lookup,
  ...scatters,
};

/** Operations that are made of others for some arguments. */
export const INSTEAD: Readonly<Record<string, Instead>> = {
  ...insteadOfShapes,
  ...insteadOfProducts,
  ...insteadOfPools,
  ...insteadOfRecurrent,
  ...composed,
};
