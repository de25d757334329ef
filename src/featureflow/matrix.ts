// Matrices in float64, which WGSL lacks, and Cholesky's factors of them: what Algorithm 2's regressions and the start of a feature flow solve with.
// The innermost loops run over two rows of one length by index, so that what they read is a number.

/** [rows, columns], row-major. */
export class Matrix {
  readonly data: Float64Array;

  /** Zeros, or the values given, which are copied. */
  constructor(
    readonly rows: number,
    readonly columns: number,
    values?: ArrayLike<number>,
  ) {
    this.data = values ? Float64Array.from(values) : new Float64Array(rows * columns);
    if (this.data.length !== rows * columns)
      throw new RangeError(`${this.data.length} values are no matrix [${rows}, ${columns}]`);
  }

  get(i: number, j: number): number {
    return this.data[i * this.columns + j] ?? Number.NaN;
  }

  /** A view of row i. */
  row(i: number): Float64Array {
    return this.data.subarray(i * this.columns, (i + 1) * this.columns);
  }

  transpose(): Matrix {
    const result = new Matrix(this.columns, this.rows);
    for (let i = 0; i < this.rows; i++) for (const [j, value] of this.row(i).entries()) result.row(j)[i] = value;
    return result;
  }

  /** Aᵀ B: rows of A and B are read in their order, which is quick for large ones. */
  transposeMultiply(other: Matrix): Matrix {
    const result = new Matrix(this.columns, other.columns);
    for (let k = 0; k < this.rows; k++) {
      const right = other.row(k);
      for (const [i, factor] of this.row(k).entries()) addTimes(result.row(i), right, factor);
    }
    return result;
  }
}

/** to += from · factor. */
function addTimes(to: Float64Array, from: Float64Array, factor: number): void {
  if (factor !== 0) for (let j = 0; j < from.length; j++) to[j] = (to[j] as number) + (from[j] as number) * factor;
}

/** A = L Lᵀ of a symmetric matrix. */
export class Cholesky {
  /** L, zero above the diagonal. */
  readonly lower: Matrix;
  /** Whether there is an L: all of A's eigenvalues are positive, as far as rounding shows. */
  readonly isPositiveDefinite: boolean = true;

  constructor(a: Matrix) {
    const n = a.rows;
    this.lower = new Matrix(n, n);
    for (let i = 0; i < n; i++) {
      const row = this.lower.row(i);
      for (let j = 0; j <= i; j++) {
        const above = this.lower.row(j);
        let rest = a.get(i, j);
        for (let k = 0; k < j; k++) rest -= (row[k] as number) * (above[k] as number);
        if (i === j && !(rest > 0)) this.isPositiveDefinite = false;
        row[j] = i === j ? Math.sqrt(Math.max(rest, 0)) : rest / (above[j] as number);
      }
    }
  }

  /** X of A X = B. */
  solve(b: Matrix): Matrix {
    const x = new Matrix(b.rows, b.columns, b.data);
    const n = x.rows;
    const scale = (i: number) => {
      const row = x.row(i);
      const diagonal = this.lower.get(i, i);
      for (const [j, value] of row.entries()) row[j] = value / diagonal;
    };
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) addTimes(x.row(i), x.row(k), -this.lower.get(i, k));
      scale(i);
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) addTimes(x.row(i), x.row(k), -this.lower.get(k, i));
      scale(i);
    }
    return x;
  }

  /** A⁻¹. */
  inverse(): Matrix {
    const { rows } = this.lower;
    const identity = new Matrix(rows, rows);
    for (let i = 0; i < rows; i++) identity.row(i)[i] = 1;
    return this.solve(identity);
  }
}
