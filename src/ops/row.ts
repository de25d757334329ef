// What a row of the table of elementwise operations says.

/**
 * What types go in and come out: 'float' computes in float32 and gives it; 'same' the (promoted) type of the inputs, 'number' refuses bool
 * and 'signed' also uint32; 'whole' is the identity for integers; 'compare' gives bool; 'logical' takes every input as true or false. 'bits'
 * refuses float32, and 'integer' bool as well.
 */
export type ResultType = 'float' | 'same' | 'number' | 'signed' | 'whole' | 'compare' | 'logical' | 'bits' | 'integer';

interface Row {
  value: string;
  da?: string;
  result: ResultType;
  /** The value for integers, where it is another expression. */
  int?: string;
}

export interface UnaryRow extends Row {
  /** Names of scalar arguments with their defaults, called s, t, u, v in the expressions. */
  scalars?: Record<string, number>;
}

/** Of two operands. */
export interface BinaryRow extends Row {
  db?: string;
  /** Second numbers that the operation has no integer result for. */
  refused?: (b: number) => boolean;
}
