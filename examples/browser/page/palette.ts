// Colours: of particles evenly spread in hue at one lightness, so that none shouts; of runs; of the theme.

/** An OKLCH colour as #rrggbb, which every drawing program knows. */
export function oklch(lightness: number, chroma: number, hue: number): string {
  const [a, b] = [chroma * Math.cos((hue * Math.PI) / 180), chroma * Math.sin((hue * Math.PI) / 180)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const bytes = linear.map((x) => {
    const value = x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055;
    return Math.round(255 * Math.min(1, Math.max(0, value)));
  });
  return `#${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export const isDark = (): boolean => {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};

/** The colour of particle i of n: it keeps it wherever it goes. */
export function particleColor(i: number, n: number, dark = isDark()): string {
  const hue = 25 + (300 * i) / Math.max(n, 2);
  return dark ? oklch(0.76, 0.13, hue) : oklch(0.58, 0.14, hue);
}

/** The colours of the first and the second run. */
export const runColor = (run: number, dark = isDark()): string =>
  run === 0 ? (dark ? '#f08a6c' : '#c9482b') : dark ? '#7fb8bd' : '#2b7a80';

/** Ink of axes and grids. */
export const inks = (dark = isDark()) =>
  dark ? { text: '#a9b0ba', grid: '#2a3038', line: '#e9ebee' } : { text: '#5d646e', grid: '#e7e4dd', line: '#22262b' };
