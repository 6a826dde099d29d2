/** The checks that are not tests: a program in node_modules/.bin, its arguments; 0 means content. */
export const CHECKS = {
  types: ['tsc', '--project', 'tsconfig.json'],
  'kernel types': ['tsc', '--project', 'tsconfig.kernel.json'],
  lint: ['oxlint', '--type-aware', '--deny-warnings'],
  'proto style': ['buf', 'lint'],
  // Against the protos of the last release, committed as an image so that it needs no history and no
  // network. `npm run baseline` renews it, as a part of releasing.
  'proto compatibility': ['buf', 'breaking', 'proto', '--against', 'proto/baseline.binpb'],
} as const satisfies Record<string, readonly [string, ...string[]]>;
