/**
 * Reads every import of a tree of TypeScript files and finds those that the rules of the house
 * forbid. Type imports and dynamic imports count like any other. Ready-made checkers parse with
 * TypeScript's old JavaScript API and are silent about .ts files without it, so this one uses the
 * parser that vite brings, and imports.test.ts shows it a violation of each rule.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseSync } from 'vite';

/** Path from the root of the repository, with '/', to source text. */
export type Files = ReadonlyMap<string, string>;

interface Module {
  readonly path: string;
  /** Each file of the tree that it imports, and each package or `node:` module, by its specifier. */
  readonly files: readonly string[];
  readonly packages: readonly string[];
  /** What could not be understood: never passed over in silence. */
  readonly problems: readonly string[];
}

/** The services, which meet only over gRPC. */
const SERVICES = ['coordinator', 'participant', 'queue', 'counter'];

/** Places that may touch generated code besides files whose name has the word codec or handlers. */
const GENERATED_USERS = ['services/gen/', 'services/runtime/transport/', 'services/runtime/errors/', 'services/client/'];

const isTest = (file: string) => file.endsWith('.test.ts') || file.includes('/testing/');
const isShipped = (file: string) => file.startsWith('services/') && !isTest(file);
const isCodecOrHandler = (file: string) => file.split(/[/.-]/).some((word) => /^(codec|codecs|handler|handlers)$/.test(word));

/** A rule says, for one module, which of its imports are wrong. */
interface Rule {
  readonly name: string;
  applies(file: string): boolean;
  allowsFile?(from: string, to: string): boolean;
  allowsPackage?(name: string): boolean;
}

function rules(dependencies: readonly string[]): Rule[] {
  return [
    {
      name: 'a kernel imports only kernel',
      applies: (file) => file.startsWith('services/kernel/') && !isTest(file),
      allowsFile: (_, to) => to.startsWith('services/kernel/'),
      allowsPackage: () => false,
    },
    {
      name: 'a service never imports another service',
      applies: (file) => SERVICES.some((service) => file.startsWith(`services/${service}/`)),
      allowsFile: (from, to) =>
        !SERVICES.some((service) => to.startsWith(`services/${service}/`) && !from.startsWith(`services/${service}/`)),
    },
    {
      name: 'runtime imports no service and no client',
      applies: (file) => file.startsWith('services/runtime/') && !isTest(file),
      allowsFile: (_, to) => !['client', 'main.ts', ...SERVICES].some((room) => `${to}/`.startsWith(`services/${room}/`)),
    },
    {
      name: 'only codecs and handlers import generated code',
      applies: (file) =>
        isShipped(file) && !isCodecOrHandler(file) && !GENERATED_USERS.some((place) => file.startsWith(place)),
      allowsFile: (_, to) => !to.startsWith('services/gen/'),
    },
    {
      name: 'what is shipped imports only what is shipped and declared in dependencies',
      applies: isShipped,
      allowsFile: (_, to) => isShipped(to),
      allowsPackage: (name) =>
        name.startsWith('node:') || dependencies.some((dependency) => name === dependency || name.startsWith(`${dependency}/`)),
    },
  ];
}

/** One sentence for each violation, in the order of the files. */
export function findViolations(files: Files, dependencies: readonly string[]): string[] {
  const modules = [...files].map(([file, source]) => readModule(file, source, files));
  const found = modules.flatMap((module) => module.problems.map((problem) => `${module.path}: ${problem}`));
  for (const rule of rules(dependencies)) {
    for (const module of modules.filter((candidate) => rule.applies(candidate.path))) {
      const wrong = [
        ...module.files.filter((file) => rule.allowsFile?.(module.path, file) === false),
        ...module.packages.filter((name) => rule.allowsPackage?.(name) === false),
      ];
      found.push(...wrong.map((target) => `${module.path} imports ${target}: ${rule.name}`));
    }
  }
  return [...found, ...findCycles(modules)];
}

/** Every TypeScript file below these folders of the root. */
export function readTree(root: string, folders: readonly string[]): Files {
  const files = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.[cm]?ts$/.test(entry.name)) continue;
      const file = path.join(entry.parentPath, entry.name);
      files.set(path.relative(root, file).split(path.sep).join('/'), readFileSync(file, 'utf8'));
    }
  }
  return files;
}

function readModule(file: string, source: string, tree: Files): Module {
  const { program, module, errors } = parseSync(file, source);
  const problems = errors.map((error) => `can't be parsed: ${error.message}`);
  const specifiers = [
    ...module.staticImports.map((statement) => statement.moduleRequest.value),
    ...module.staticExports.flatMap((statement) => statement.entries.flatMap((entry) => entry.moduleRequest?.value ?? [])),
    ...importTypes(program),
  ];
  for (const { moduleRequest } of module.dynamicImports) {
    const literal = /^(['"`])([^'"`$]*)\1$/.exec(source.slice(moduleRequest.start, moduleRequest.end));
    if (literal) specifiers.push(literal[2]!);
    else if (isShipped(file)) problems.push('imports a name made at run time, which no rule can check');
  }
  const files = new Set<string>();
  const packages = new Set<string>();
  for (const specifier of specifiers) {
    const target = resolve(file, specifier);
    if (target === undefined) packages.add(specifier);
    else if (tree.has(target)) files.add(target);
    else if (/\.[cm]?ts$/.test(target)) problems.push(`imports ${target}, which is not there`);
  }
  return { path: file, files: [...files], packages: [...packages], problems };
}

/** The file that a specifier names; nothing for a package. The project's own name leads to its SDK. */
function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(from), specifier);
  if (specifier === 'txmesh/client') return 'services/client/index.ts';
  if (specifier.startsWith('txmesh/')) return `services/client/${specifier.slice(specifier.lastIndexOf('/') + 1)}.ts`;
  return undefined;
}

/** Specifiers of types written as `import('…').Name`, which the parser's list of imports leaves out. */
function importTypes(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(importTypes);
  if (typeof node !== 'object' || node === null) return [];
  const { type, source } = node as { type?: string; source?: { value?: unknown } };
  const here = type === 'TSImportType' && typeof source?.value === 'string' ? [source.value] : [];
  return [...here, ...Object.values(node).flatMap(importTypes)];
}

/** Tarjan's strongly connected components: each with more than one file, or a file that imports itself. */
function findCycles(modules: readonly Module[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string): number => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    stack.push(file);
    const targets = byPath.get(file)!.files;
    for (const target of targets) {
      if (!order.has(target)) lowest.set(file, Math.min(lowest.get(file)!, visit(target)));
      else if (stack.includes(target)) lowest.set(file, Math.min(lowest.get(file)!, order.get(target)!));
    }
    if (lowest.get(file) === order.get(file)) {
      const members = stack.splice(stack.indexOf(file));
      if (members.length > 1 || targets.includes(file)) cycles.push(`${members.sort().join(', ')}: no import cycles`);
    }
    return lowest.get(file)!;
  };
  for (const { path: file } of modules) if (!order.has(file)) visit(file);
  return cycles;
}
