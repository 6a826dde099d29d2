/** Keys as etcd holds them: a cluster's prefix, then the key, in UTF-8. */
import type { Range } from './store.ts';

export class EtcdKeys {
  readonly #prefix: string;
  readonly #prefixBytes: number;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#prefixBytes = Buffer.byteLength(prefix);
  }

  encode(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  decode(bytes: Buffer): string {
    return bytes.toString('utf8', this.#prefixBytes);
  }

  /** Of a range that is not empty: to etcd an end that is absent or a zero byte means something else. */
  range(range: Range): { key: Buffer; range_end: Buffer } {
    return { key: this.encode(range.from), range_end: this.encode(range.to) };
  }
}

/** etcd3 decodes 64-bit numbers to strings. Revisions stay below 2^53 for centuries. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
}

export interface RangeResponse {
  readonly header: { readonly revision: string };
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}
