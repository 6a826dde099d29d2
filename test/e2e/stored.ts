/** What the work of the test (work/main.ts) has left in the mesh, as grpcurl finds it. */

import type { Grpcurl } from './grpcurl.ts';

interface Page {
  readonly entries?: readonly { readonly key: string; readonly value?: string; readonly version: string }[];
  readonly nextPageToken?: string;
}

const COLLECTIONS = [
  ['inventory', 'accounts'],
  ['payments', 'accounts'],
  ['payments', 'receipts'],
  ['inventory', 'e2e-handled'],
] as const;
const COUNTERS = ['e2e-strong', 'e2e-sharded', 'e2e-handled'];
const SUBSCRIPTION = 'e2e-carriers';

/** A number, or the keys with their values and versions. */
export type Stored = string | readonly string[];
export type StoredWork = Readonly<Record<string, Stored>>;

/** Every key with its value and version, every counter, and what waits in the queue. */
export async function storedWork(grpcurl: Grpcurl): Promise<StoredWork> {
  const found: Record<string, Stored> = {};
  for (const [participant, collection] of COLLECTIONS) found[`${collection} of ${participant}`] = await entriesOf(grpcurl, participant, collection);
  for (const counter of COUNTERS) {
    const { value } = await grpcurl.call<{ value: { value: string } }>('txmesh.counter.v1.CounterService/Get', { counter });
    found[`counter ${counter}`] = value.value;
  }
  const { backlogMessages = 0 } = await grpcurl.call<{ backlogMessages?: number }>('txmesh.queue.v1.QueueService/GetSubscriptionStatistics', { name: SUBSCRIPTION });
  found[`backlog of ${SUBSCRIPTION}`] = String(backlogMessages);
  return found;
}

async function entriesOf(grpcurl: Grpcurl, participant: string, collection: string): Promise<string[]> {
  const entries: string[] = [];
  let pageToken = '';
  do {
    const page = await grpcurl.call<Page>('txmesh.keyvalue.v1.KeyValueService/Scan', { participant, collection, pageSize: 1000, pageToken });
    for (const { key, value = '', version } of page.entries ?? []) entries.push(`${key} ${version} ${value}`);
    pageToken = page.nextPageToken ?? '';
  } while (pageToken !== '');
  return entries.sort();
}
