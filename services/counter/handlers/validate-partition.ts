/**
 * Rules of what replicas ask of one another. They believe what is said of tokens and components, but
 * nothing that could break a partition.
 */

import type {
  AskPartitionRequest,
  InstalledSlot,
  PartitionAdd,
  PartitionAdds,
  PartitionList,
  PartitionMerge,
  PartitionRead,
  SlotName,
} from '../../gen/txmesh/counter/v1/counter_partition.ts';
import { Consistency } from '../../gen/txmesh/counter/v1/counter.ts';
import type { CounterTokenGroup } from '../../gen/txmesh/record/v1/counter_record.ts';
import { isInt64, MAX_SLOT } from '../../kernel/counter/int64.ts';
import { SLOTS } from '../../kernel/counter/placement.ts';
import { LIMITS } from '../../kernel/counter/types.ts';
import { MAX_AHEAD } from '../../kernel/sessions/types.ts';
import {
  anything,
  both,
  enumOf,
  list,
  MAX_PAGE_SIZE,
  message,
  notEmpty,
  orEmpty,
  partitionNumber,
  positive,
  required,
  serviceName,
  textUpTo,
  transactionId,
  wholeNumber,
  type Rule,
} from '../../runtime/router/rules.ts';
import { counterName, noControlCharacters } from './names.ts';
import { LIMITS as API_LIMITS, replicatedState, sessionId } from './validate.ts';

const slotName: Rule<SlotName> = message<SlotName>({ name: counterName, id: both(notEmpty, textUpTo(64)), slot: wholeNumber(0, SLOTS - 1) });

const slotValue: Rule<bigint> = (value, path, found) => {
  if (value > MAX_SLOT || value < -MAX_SLOT) found.add(path, `is ${value}, beyond what a slot holds`);
};

const tokenGroup: Rule<CounterTokenGroup> = both(
  message<CounterTokenGroup>({
    scope: anything,
    session: sessionId,
    mark: positive,
    sequences: list(0, 100_000, wholeNumber(0, 4 * MAX_AHEAD)),
    checks: anything,
    outcomes: anything,
    values: anything,
  }),
  ({ sequences, checks, outcomes, values }, path, found) => {
    const withValue = outcomes.reduce((count, outcome) => count + (outcome === 0 ? 0 : 1), 0);
    if (checks.length !== sequences.length || outcomes.length !== sequences.length || values.length !== withValue)
      found.add(`${path}.sequences`, 'must have as many checks and outcomes, and as many values as outcomes have one');
  },
);

const installedSlot: Rule<InstalledSlot> = message<InstalledSlot>({
  name: required(slotName),
  generation: wholeNumber(1, 0xffff_ffff),
  value: slotValue,
  floor: orEmpty(transactionId),
  tokens: list(0, 100_000, tokenGroup),
});

const adds: Rule<PartitionAdds> = both(
  message<PartitionAdds>({
    session: sessionId,
    settledBelow: positive,
    names: list(1, LIMITS.counters, counterName),
    adds: list(1, LIMITS.adds, message<PartitionAdd>({ counter: anything, amount: anything, sequence: positive })),
  }),
  ({ names, adds, settledBelow }, path, found) => {
    if (new Set(names).size < names.length) found.add(`${path}.names`, 'must differ');
    adds.forEach(({ counter, sequence, amount }, i) => {
      if (counter >= names.length) found.add(`${path}.adds[${i}].counter`, 'must be an index of names');
      if (sequence < settledBelow || sequence - settledBelow > 2 * MAX_AHEAD) found.add(`${path}.adds[${i}].sequence`, 'must be at or a little above settled_below');
      if (!isInt64(amount)) found.add(`${path}.adds[${i}].amount`, 'must have 64 bits');
    });
  },
);

const read: Rule<PartitionRead> = message<PartitionRead>({ names: list(1, API_LIMITS.counters, counterName), consistency: enumOf(Consistency) });
const merge: Rule<PartitionMerge> = message<PartitionMerge>({ states: list(1, LIMITS.states, replicatedState), relay: anything });
const page: Rule<PartitionList> = message<PartitionList>({
  prefix: both(textUpTo(LIMITS.nameBytes), noControlCharacters),
  after: both(textUpTo(LIMITS.nameBytes), noControlCharacters),
  limit: wholeNumber(1, MAX_PAGE_SIZE),
});

const ask: Rule<AskPartitionRequest['ask']> = (value, path, found) => {
  switch (value?.$case) {
    case undefined:
      return found.add(path, 'must be set');
    case 'adds':
      return adds(value.value, 'adds', found);
    case 'read':
      return read(value.value, 'read', found);
    case 'rates':
      return counterName(value.value, 'rates', found);
    case 'freeze':
      return slotName(value.value, 'freeze', found);
    case 'install':
      return installedSlot(value.value, 'install', found);
    case 'merge':
      return merge(value.value, 'merge', found);
    case 'list':
      return page(value.value, 'list', found);
  }
};

export const askPartitionRequest: Rule<AskPartitionRequest> = message<AskPartitionRequest>({ participant: serviceName, partition: partitionNumber, ask });
