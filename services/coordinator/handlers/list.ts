/**
 * ListTransactions: partition by partition, each at its leader. What is unfinished is asked of the
 * kernel, what is finished is scanned in the store.
 */

import {
  CoordinatorServiceService,
  type ListTransactionsRequest,
  type ListTransactionsResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { recordView } from '../../kernel/coordinator/records.ts';
import { TRANSACTION_PREFIX } from '../../kernel/coordinator/state.ts';
import type { TransactionView } from '../../kernel/coordinator/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { decodePageToken, encodePageToken, pageToken, type PagePosition } from '../../runtime/router/page-token.ts';
import { DEFAULT_PAGE_SIZE } from '../../runtime/router/rules.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { ask, coordinatorPartitions, validate, type CoordinatorServices, type CoordinatorTerm } from './service.ts';
import { listRequest } from './validate.ts';
import { STATES, toListed } from './wire.ts';

/** Most rounds of reading for one page: a filter that lets little through ends a page early. */
const ROUNDS = 8;
const ROUND_SIZE = 1000;

export async function listTransactions(
  services: CoordinatorServices,
  request: ListTransactionsRequest,
  context: CallContext,
): Promise<ListTransactionsResponse> {
  const question = `transactions ${[...request.states].sort((a, b) => a - b).join()}`;
  validate(listRequest(pageToken(question)), request);
  const partitions = coordinatorPartitions(services);
  const size = request.pageSize || DEFAULT_PAGE_SIZE;
  let position: PagePosition = decodePageToken(question, request.pageToken) ?? { partition: 0, after: '' };
  const page: ListTransactionsResponse = { transactions: [], nextPageToken: '' };
  while (position.partition < partitions && page.transactions.length < size) {
    const { partition } = position;
    const part: ListTransactionsRequest = {
      states: request.states,
      pageSize: size - page.transactions.length,
      pageToken: encodePageToken(question, position),
    };
    const route = { service: COORDINATOR, partition, method: CoordinatorServiceService.listTransactions, request: part, context, changes: false };
    const { transactions, nextPageToken } = await services.router.unary(route, (term) => listPartition(services, term, question, part, position, context));
    page.transactions.push(...transactions);
    // A forwarded question is about the one partition that its token names.
    if (nextPageToken !== '' || context.forwarded) return { ...page, nextPageToken };
    position = { partition: partition + 1, after: '' };
  }
  if (position.partition < partitions) page.nextPageToken = encodePageToken(question, position);
  return page;
}

async function listPartition(
  services: CoordinatorServices,
  term: CoordinatorTerm,
  question: string,
  { states, pageSize }: ListTransactionsRequest,
  { partition, after: begin }: PagePosition,
  context: CallContext,
): Promise<ListTransactionsResponse> {
  const wanted = states.length === 0 ? undefined : new Set(states.map((state) => STATES.get(state)));
  const found: TransactionView[] = [];
  let after = begin;
  let more = true;
  for (let round = 0; more && round < ROUNDS && found.length < pageSize; round++) {
    const limit = wanted === undefined ? pageSize - found.length : ROUND_SIZE;
    const read = await readAfter(services, term, partition, after, limit, context);
    more = read.more;
    for (const view of read.views) {
      if (found.length === pageSize) {
        more = true;
        break;
      }
      after = view.transactionId;
      if (wanted?.has(view.state) ?? true) found.push(view);
    }
  }
  const nextPageToken = more ? encodePageToken(question, { partition, after }) : '';
  return { transactions: found.map(toListed), nextPageToken };
}

/**
 * The transactions with the next ids. What is unfinished is asked for before the scan, so that what
 * finishes meanwhile is found in one of them, and after it, so that a commit that is not acknowledged
 * everywhere is not taken for one that is.
 */
async function readAfter(
  services: CoordinatorServices,
  term: CoordinatorTerm,
  partition: number,
  after: string,
  limit: number,
  context: CallContext,
): Promise<{ readonly views: readonly TransactionView[]; readonly more: boolean }> {
  const unfinished = async (): Promise<readonly TransactionView[]> =>
    (await ask(services, term, 'transactions', context, false, (origin) => ({ type: 'list-active', origin, afterId: after, limit }))).transactions;
  const prefix = partitionPrefix(COORDINATOR, partition) + TRANSACTION_PREFIX;
  const range = { from: after === '' ? prefix : `${prefix}${after}\0`, to: prefixRange(prefix).to };
  const before = await unfinished();
  const scanned = await services.store.scan(range, { limit });
  const now = await unfinished();
  const views = new Map<string, TransactionView>(before.map((view) => [view.transactionId, view]));
  for (const { key, value } of scanned.entries) {
    const id = key.slice(prefix.length);
    const record = services.codec.decode(TRANSACTION_PREFIX + id, value);
    if (record.type === 'transaction') views.set(id, recordView(id, record, true));
  }
  for (const view of now) views.set(view.transactionId, view);
  // A list that is full says nothing about the ids beyond its last one.
  const ends = [before, now].filter((list) => list.length === limit).map((list) => list.at(-1)!.transactionId);
  if (scanned.more) ends.push(scanned.entries.at(-1)!.key.slice(prefix.length));
  const end = ends.sort()[0];
  const ids = [...views.keys()].filter((id) => end === undefined || id <= end).sort();
  return { views: ids.map((id) => views.get(id)!), more: end !== undefined };
}
