import { pod, series, type AlertCases } from './alert-case.ts';

const inDoubt = (participant: string, values: string) => series('txmesh_branch_in_doubt_age', pod('participant-0', { txmesh_participant: participant }), values);
const completing = (values: string) => series('txmesh_transaction_completing_age', pod('coordinator-0'), values);
const forced = (values: string) => series('txmesh_branch_heuristic_total', pod('participant-0', { txmesh_participant: 'payments', txmesh_outcome: 'aborted' }), values);

export const transactions: AlertCases = {
  BranchInDoubt: [
    {
      what: 'fires for the participant whose branch hears no outcome for five minutes',
      series: [inDoubt('payments', '0+60x20'), inDoubt('inventory', '0x20')],
      at: '8m',
      fires: [{ labels: { txmesh_participant: 'payments' }, value: '8m 0s' }],
    },
    { what: 'is quiet while a coordinator fails over', series: [inDoubt('payments', '0x2 30 90 0x10')], at: '6m', fires: [] },
    { what: 'is quiet when the branch has heard its outcome', series: [inDoubt('payments', '0+60x4 0x10')], at: '8m', fires: [] },
  ],
  TransactionNotAcknowledged: [
    { what: 'fires when a branch does not acknowledge for ten minutes', series: [completing('0+60x20')], at: '12m', fires: [{ labels: {}, value: '12m 0s' }] },
    { what: 'is quiet while a participant restarts', series: [completing('0+60x4 0x20')], at: '12m', fires: [] },
  ],
  OutcomeForced: [
    {
      what: 'fires for an hour when an operator has forced an outcome',
      series: [forced('0x5 1x100')],
      at: '50m',
      fires: [{ labels: { txmesh_participant: 'payments', txmesh_outcome: 'aborted' } }],
    },
    { what: 'is quiet while nobody does', series: [forced('3x100')], at: '90m', fires: [] },
    { what: 'is quiet when that was long ago', series: [forced('0x5 1x100')], at: '80m', fires: [] },
  ],
};
