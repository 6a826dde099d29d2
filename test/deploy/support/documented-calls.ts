/** The grpcurl calls that a page tells to type, and as whom. */

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createFileRegistry, fromBinary, fromJson, toBinary, type FileRegistry, type JsonValue } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const root = resolve(import.meta.dirname, '../../..');
const registry: FileRegistry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(join(root, 'services/gen/descriptors.binpb'))));

export interface Call {
  /** The request, as typed. */
  readonly json: string | undefined;
  /** "txmesh.queue.v1.QueueService/Pull"; undefined where only the API's description is asked for (`list`). */
  readonly method: string | undefined;
  /** The Secret with the certificate that is shown; 'plaintext': none is. */
  readonly as: string;
}

/** Says what `$MESH` is on the pages that do not say it themselves. */
const SAYS_FOR_ALL = 'docs/runbooks/README.md';

/** Each command of the page's blocks, one line each: those go on behind a backslash, and while a quote is open. */
function commandsIn(text: string): string[] {
  const found: string[] = [];
  for (const [, block] of text.matchAll(/^ *```console\n([\s\S]*?)^ *```/gm)) {
    let continues = false;
    for (const line of block!.split('\n')) {
      const command = /^\s*\$ (.*)$/.exec(line)?.[1];
      if (command !== undefined) found.push(command);
      else if (continues) found.push(`${found.pop()!.replace(/\\$/, '')} ${line.replace(/^\s*> /, '').trim()}`);
      else continue;
      const last = found.at(-1)!;
      continues = last.endsWith('\\') || last.split("'").length % 2 === 0 || last.split('"').length % 2 === 0;
    }
  }
  return found;
}

/** The Secret whose files the last command before that fetches any puts here. */
const secretIn = (command: string): string | undefined => /get secret ([a-z][a-z0-9-]*-tls) -o/.exec(command)?.[1];

export function callsIn(page: string, text = readFileSync(join(root, page), 'utf8')): Call[] {
  const calls: Call[] = [];
  const variables = new Map<string, string>();
  let secret = page === SAYS_FOR_ALL ? undefined : commandsIn(readFileSync(join(root, SAYS_FOR_ALL), 'utf8')).map(secretIn).findLast((each) => each !== undefined);
  for (const command of commandsIn(text)) {
    secret = secretIn(command) ?? secret;
    for (const [, name, quoted, plain] of command.matchAll(/(?<![\w-])([A-Z]+)=(?:"([^"]*)"|([^\s;"]+))/g)) variables.set(name!, quoted ?? plain!);
    // What stands between quotes is said literally; quotes that end for what a command prints go on after it.
    const whole = command.replaceAll(/'\$\((?:[^()]|\([^()]*\))*\)'/g, 'printed');
    const expanded = whole.replaceAll(/'[^']*'|\$([A-Z]+)/g, (found, name?: string) => (name === undefined ? found : (variables.get(name) ?? found)));
    for (const [, rest] of expanded.matchAll(/(?<![\w-/])grpcurl ((?:'[^']*'|[^';|&])*)/g)) {
      const words = rest!.replaceAll(/'[^']*'/g, "''");
      const as = words.includes('-plaintext') ? 'plaintext' : secret;
      if (as === undefined) throw new Error(`${page} does not say as whom to call: ${command}`);
      calls.push({ json: /-d '([^']*)'/.exec(rest!)?.[1], method: /\s([a-z0-9.]+\.[A-Z]\w+\/\w+)/.exec(words)?.[1], as });
    }
  }
  return calls;
}

/** The request, as it is on the wire. @throws Error that says what is wrong with the call */
export function requestOf({ json, method }: Call & { readonly method: string }): Uint8Array {
  const [service, name] = method.split('/');
  const found = registry.getService(service!)?.methods.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no method ${method}`);
  try {
    return toBinary(found.input, fromJson(found.input, JSON.parse(json ?? '{}', asProtobufSays) as JsonValue, { registry }));
  } catch (error) {
    throw new Error(`${method} does not take ${json}: ${String(error)}`, { cause: error });
  }
}

/** grpcurl wants a field mask as the message that it is, `{"paths": ["max_age"]}`; in protobuf's JSON it is a string. */
function asProtobufSays(key: string, value: unknown): unknown {
  if (key !== 'updateMask') return value;
  const { paths } = value as { paths: string[] };
  return paths.map((path) => path.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())).join(',');
}
