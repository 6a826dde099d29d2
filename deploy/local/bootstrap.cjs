'use strict';
/*
 * What stands between `npm start` and the program: installs the dependencies, generates the code
 * from proto/, and runs a script on the Node that package.json pins. It does only what is missing.
 *
 *   node deploy/local/bootstrap.cjs COMMAND [ARGUMENT…]
 *
 * This runs before anything is installed, on whatever Node the machine has, so it is plain
 * JavaScript of 2019 with no dependency.
 */
const { spawn, spawnSync } = require('child_process');
const { createHash } = require('crypto');
const fs = require('fs');
const path = require('path');

const ROOT = path.resolve(__dirname, '..', '..');
const at = (...parts) => path.join(ROOT, ...parts);

/** Scripts that run on the pinned Node. They get the arguments that follow the command. */
const SCRIPTS = {
  txmesh: 'services/main.ts',
  start: 'deploy/local/start.ts',
  test: 'test/runner/run.ts',
  cluster: 'deploy/local/cluster.ts',
  simulate: 'test/simulation/main.ts',
  bench: 'load/bench/main.ts',
  load: 'load/k6/run.ts',
  certificates: 'deploy/certificates/main.ts',
  dashboards: 'deploy/dashboards/main.ts',
  reference: 'docs/reference/main.ts',
  audit: 'deploy/supply-chain/audit.ts',
  'e2e:k8s': 'test/e2e/k8s.ts',
  records: 'test/fixtures/write.ts',
};

/** What else can be done once everything is installed and generated; --help in front of the arguments tells what. */
const TOOLS = {
  generate: { help: () => 'npm run generate: services/gen anew from proto/', run: async () => undefined },
  baseline: {
    help: () => 'npm run baseline: proto/baseline.binpb anew from proto/, for a release',
    run: () => run(buf(), ['build', 'proto', '--exclude-source-info', '--output', 'proto/baseline.binpb']),
  },
  build: { help: () => 'npm run build: dist/, what the npm package ships', run: () => build() },
  example: {
    help: () => `npm run example -- NAME [ARGUMENT…]: a program of docs/examples: ${examples().join(', ')}`,
    run: (args) => runExample(args),
  },
};

const BIN = at('node_modules', '.bin');
const PINNED_NODE = path.join(BIN, 'node');
const NODE_MAJOR = 26;
const GENERATED = at('services', 'gen');
const LOCK = at('.cache', 'bootstrap.lock');
/** Long enough for an installation over a slow line. */
const LOCK_TIMEOUT_MS = 15 * 60 * 1000;
const LOCK_POLL_MS = 200;
/** Copies of a signal that come within this time are one wish: npm passes on what the terminal also sent. */
const SAME_SIGNAL_MS = 500;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const HELP = ['--help', '-h'];

async function main(command, args) {
  if (command in TOOLS && HELP.includes(args[0])) return console.log(TOOLS[command].help());
  if (!(command in SCRIPTS) && !(command in TOOLS)) {
    const known = Object.keys(SCRIPTS).concat(Object.keys(TOOLS)).join(', ');
    throw new Error(`${command || 'No command'} given; known are ${known}.`);
  }
  if (command in SCRIPTS && !fs.existsSync(at(SCRIPTS[command]))) {
    throw new Error(`${SCRIPTS[command]} is not there, so "${command}" can't run.`);
  }
  const asked = command === 'generate';
  if (asked || !(isInstalled() && isGenerated())) {
    await withLock(async () => {
      if (!isInstalled()) await install();
      if (asked || !isGenerated()) await generate();
    });
  }
  if (command in TOOLS) return TOOLS[command].run(args);
  await runScript(SCRIPTS[command], args);
}

const runScript = (script, args) => run(node(), ['--conditions=txmesh-source', '--require', __filename, at(script)].concat(args));

function examples() {
  const ending = '.ts';
  return fs.readdirSync(at('docs', 'examples')).filter((file) => file.endsWith(ending)).map((file) => file.slice(0, -ending.length));
}

/** As a program that has installed the package, on the sources that are here. */
async function runExample([name, ...args]) {
  if (!examples().includes(name)) throw new Error(`${name || 'no example'} given; there are ${examples().join(', ')}.`);
  await runScript(`docs/examples/${name}.ts`, args);
}

// --- installing ---------------------------------------------------------------------------------

/** Whether node_modules holds every package in the version that package-lock.json names. */
function isInstalled() {
  const wanted = readJson(at('package-lock.json')).packages;
  let present;
  try {
    // npm writes this list when an installation is complete.
    present = readJson(at('node_modules', '.package-lock.json')).packages;
  } catch {
    return false;
  }
  return Object.keys(wanted).every(
    (name) =>
      name === '' ||
      (present[name] ? present[name].version === wanted[name].version : wanted[name].optional === true),
  );
}

async function install() {
  say('installing dependencies (npm ci)');
  // npm's warnings here are about the Node that runs npm; what runs txmesh is the pinned one.
  // npm must not run on the Node that it is about to replace.
  await run('npm', ['ci', '--loglevel=error'], process.env.PATH.split(path.delimiter).filter((folder) => folder !== BIN));
}

/** The Node that runs everything. */
function node() {
  if (fs.existsSync(PINNED_NODE)) return PINNED_NODE;
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= NODE_MAJOR) return process.execPath;
  throw new Error(
    `txmesh needs Node ${NODE_MAJOR} or newer and this is ${process.version}. The npm package "node" brings it, ` +
      'but its install script did not run. Run "npm rebuild node --ignore-scripts=false", or put a newer Node on PATH.',
  );
}

// --- generating ---------------------------------------------------------------------------------

const buf = () => path.join(BIN, 'buf');

/** Everything that the generated code is made from, in one hash. */
function generatorInputs() {
  const hash = createHash('sha256');
  const add = (file) => hash.update(file).update('\0').update(fs.readFileSync(at(file))).update('\0');
  const walk = (folder) => {
    for (const entry of fs.readdirSync(at(folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(name);
      else if (name.endsWith('.proto')) add(name);
    }
  };
  walk('proto');
  ['buf.yaml', 'buf.gen.yaml', 'package-lock.json'].forEach(add);
  return hash.digest('hex');
}

function isGenerated() {
  try {
    return fs.readFileSync(path.join(GENERATED, '.inputs'), 'utf8') === generatorInputs();
  } catch {
    return false;
  }
}

async function generate() {
  say('generating code from proto/ (buf generate)');
  const inputs = generatorInputs();
  await replace(GENERATED, async (aside) => {
    const fresh = path.join(aside, 'services', 'gen');
    await run(buf(), ['generate', '--output', aside]);
    // What gRPC reflection serves: the descriptors as buf compiled them, imports and comments included.
    await run(buf(), ['build', '--as-file-descriptor-set', '--output', path.join(fresh, 'descriptors.binpb')]);
    fs.writeFileSync(path.join(fresh, '.inputs'), inputs);
    return fresh;
  });
}

// --- building -----------------------------------------------------------------------------------

/** Compiles what the npm package ships into dist/. */
async function build() {
  await replace(at('dist'), async (aside) => {
    const fresh = path.join(aside, 'dist');
    await run(path.join(BIN, 'tsc'), ['--project', 'tsconfig.build.json', '--outDir', fresh]);
    fs.copyFileSync(path.join(GENERATED, 'descriptors.binpb'), path.join(fresh, 'gen', 'descriptors.binpb'));
    fs.writeFileSync(path.join(fresh, 'sbom.cdx.json'), sbom(path.join(aside, 'sbom')));
    return fresh;
  });
}

/**
 * What the package depends on for production, as the lock file has it: a CycloneDX document. npm writes
 * it of a lock file without the rest, because its --omit=dev leaves out what both need.
 */
function sbom(folder) {
  const manifest = readJson(at('package.json'));
  const lock = readJson(at('package-lock.json'));
  for (const described of [manifest, lock.packages['']]) delete described.devDependencies;
  for (const place of Object.keys(lock.packages)) if (lock.packages[place].dev) delete lock.packages[place];
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  fs.writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify(lock));
  const args = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only', '--loglevel=error'];
  const { status, stdout, stderr, error } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (status !== 0) throw new Error(`npm sbom failed, which needs npm 10 or newer: ${error ? error.message : stderr}`);
  const document = JSON.parse(stdout);
  // npm takes the folder's name.
  document.metadata.component.name = manifest.name;
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/**
 * Replaces a folder by the one that `make` fills inside a folder of its own and names. A program that
 * runs meanwhile finds the old state or the new one; a failure leaves the old one.
 */
async function replace(folder, make) {
  const aside = at('.cache', `${path.basename(folder)}-${process.pid}`);
  fs.mkdirSync(aside, { recursive: true });
  try {
    const fresh = await make(aside);
    if (fs.existsSync(folder)) fs.renameSync(folder, path.join(aside, 'replaced'));
    fs.renameSync(fresh, folder);
  } finally {
    removeTree(aside);
  }
}

// --- one at a time ------------------------------------------------------------------------------

/** Runs `work` while no other bootstrap of this folder does. A lock whose holder is gone is taken over. */
async function withLock(work) {
  fs.mkdirSync(path.dirname(LOCK), { recursive: true });
  const mine = `${LOCK}.${process.pid}`;
  fs.writeFileSync(mine, String(process.pid));
  const deadline = Date.now() + LOCK_TIMEOUT_MS;
  let told = false;
  try {
    while (!tryLink(mine, LOCK)) {
      const holder = readPid(LOCK);
      if (holder !== undefined && !isAlive(holder)) {
        takeAway(LOCK, holder, `${mine}.stale`);
        continue;
      }
      if (Date.now() > deadline) {
        throw new Error(`process ${holder} has been installing for too long; end it, or remove ${path.relative(ROOT, LOCK)}.`);
      }
      if (!told && holder !== undefined) say(`waiting for process ${holder}, which is installing here`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
    try {
      await work();
    } finally {
      fs.unlinkSync(LOCK);
    }
  } finally {
    fs.unlinkSync(mine);
  }
}

/** A link is made with its content or not at all, so nobody reads a lock that has no holder yet. */
function tryLink(from, to) {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock of a process that is gone, unless another waiter did and has locked anew. */
function takeAway(lock, holder, aside) {
  try {
    fs.renameSync(lock, aside);
  } catch {
    return; // Another waiter was faster.
  }
  if (readPid(aside) !== holder) tryLink(aside, lock);
  fs.unlinkSync(aside);
}

function readPid(file) {
  try {
    return Number(fs.readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

// --- running ------------------------------------------------------------------------------------

/**
 * Runs a program in the project's folder and resolves when it has exited with 0; otherwise this
 * process ends the way the program did. The program gets a process group of its own: a terminal's
 * Ctrl-C then comes only to this process, which passes each signal on once.
 */
function run(program, args, searchPath = [BIN, process.env.PATH]) {
  const env = Object.assign({}, process.env, { PATH: searchPath.join(path.delimiter) });
  const child = spawn(program, args, { cwd: ROOT, env, stdio: 'inherit', detached: true });
  const last = {};
  const forward = (signal) => {
    const now = Date.now();
    if (now - (last[signal] || 0) > SAME_SIGNAL_MS) child.kill(signal);
    last[signal] = now;
  };
  FORWARDED.forEach((signal) => process.on(signal, forward));
  const release = () => FORWARDED.forEach((signal) => process.removeListener(signal, forward));
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      release();
      reject(new Error(`${program} could not be started: ${error.message}`));
    });
    child.on('exit', (code, signal) => {
      release();
      if (code === 0) resolve();
      else reject(new Ended(code, signal));
    });
  });
}

/** A program that was run did not end with 0. It has said why itself. */
class Ended extends Error {
  constructor(code, signal) {
    super(`ended with ${signal || code}`);
    this.code = code;
    this.signal = signal;
  }
}

function fail(error) {
  if (!(error instanceof Ended)) {
    console.error(`txmesh: ${error.message}`);
    process.exitCode = 1;
  } else if (error.signal) {
    process.kill(process.pid, error.signal);
  } else {
    process.exitCode = error.code;
  }
}

/** In the program that was started: ends with the bootstrap, also where that was killed with SIGKILL. */
function followParent() {
  if (!require('worker_threads').isMainThread) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 1000);
  watch.unref();
}

const say = (what) => console.error(`txmesh: ${what}`);
const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

function removeTree(folder) {
  // `rm` is what Nodes since 14 have, `rmdir` what those before had.
  (fs.rmSync || fs.rmdirSync)(folder, { recursive: true, force: true });
}

if (require.main === module) main(process.argv[2], process.argv.slice(3)).catch(fail);
else followParent();
