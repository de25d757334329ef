import type { Half } from '../precision';

/** The shape of a 2-d convolution (cross-correlation, as in PyTorch), NCHW images and OIHW weights. */

export interface Conv2dShape {
  readonly batch: number;
  readonly inChannels: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly outChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly strideH: number;
  readonly strideW: number;
  /** Zeros above and to the left; those below and to the right follow from the output's size. */
  readonly padTop: number;
  readonly padLeft: number;
  readonly dilationH: number;
  readonly dilationW: number;
  readonly groups: number;
  readonly outHeight: number;
  readonly outWidth: number;
  /** What is held as float16; sums are float32 either way. */
  readonly half?: Half;
}
