import { pod, series, type AlertCases, type Series } from './alert-case.ts';

const EXECUTE = { grpc_method: 'txmesh.coordinator.v1.CoordinatorService/Execute' };
const STREAM = { grpc_method: 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream' };
const EXCHANGE = { grpc_method: 'txmesh.participant.v1.ParticipantService/Exchange' };

const requests = (values: Readonly<Record<string, string>>, method: typeof EXECUTE = EXECUTE): Series[] =>
  Object.entries(values).map(([status, each]) => series('txmesh_request_finished_total', pod('coordinator-0', { ...method, grpc_status: status }), each));
const finished = (values: Readonly<Record<string, string>>): Series[] => [
  series('txmesh_transaction_finished_total', pod('coordinator-0', { txmesh_outcome: 'committed', txmesh_reason: '' }), values['committed']!),
  ...Object.entries(values).filter(([reason]) => reason !== 'committed').map(([reason, each]) =>
    series('txmesh_transaction_finished_total', pod('coordinator-0', { txmesh_outcome: 'aborted', txmesh_reason: reason }), each),
  ),
];
const ofCoordinator = { component: 'coordinator' };

export const objectives: AlertCases = {
  CallBudgetBurnsFast: [
    {
      what: 'fires when two requests in a hundred fail',
      series: requests({ OK: '0+980x30', UNAVAILABLE: '0+20x30' }),
      at: '20m',
      fires: [{ labels: ofCoordinator, value: '2%' }],
    },
    {
      what: 'fires when one request in a hundred fails for hours',
      series: requests({ OK: '0+990x400', INTERNAL: '0+10x400' }),
      at: '6h',
      fires: [{ labels: ofCoordinator, value: '1%' }],
    },
    { what: 'is quiet when callers are to blame', series: requests({ OK: '0+500x30', INVALID_ARGUMENT: '0+400x30', ABORTED: '0+100x30' }), at: '20m', fires: [] },
    { what: 'is quiet when one request in a thousand fails', series: requests({ OK: '0+999x400', UNAVAILABLE: '0+1x400' }), at: '6h', fires: [] },
    { what: 'is quiet soon after the failures have ended', series: requests({ OK: '0+980x60', UNAVAILABLE: '0+20x10 200x50' }), at: '50m', fires: [] },
    {
      what: 'fires when two requests in a hundred fail that travel on streams',
      series: [...requests({ OK: '0+90x30' }), ...requests({ OK: '0+890x30', UNAVAILABLE: '0+20x30' }, STREAM)],
      at: '20m',
      fires: [{ labels: ofCoordinator, value: '2%' }],
    },
    { what: 'is quiet when replicas do not reach each other', series: [...requests({ OK: '0+100x30' }), ...requests({ UNAVAILABLE: '0+20x30' }, EXCHANGE)], at: '20m', fires: [] },
  ],
  CallBudgetBurnsSlowly: [
    {
      what: 'fires when four requests in a thousand fail for a quarter of an hour and more',
      series: requests({ OK: '0+996x200', UNAVAILABLE: '0+4x200' }),
      at: '3h',
      fires: [{ labels: ofCoordinator, value: '0.4%' }],
    },
    { what: 'is quiet after a short failure', series: requests({ OK: '0+996x400', UNAVAILABLE: '0+4x10 44x400' }), at: '6h', fires: [] },
    { what: 'is quiet when one request in two thousand fails', series: requests({ OK: '0+1999x400', UNAVAILABLE: '0+1x400' }), at: '6h', fires: [] },
  ],
  TransactionBudgetBurnsFast: [
    {
      what: 'fires when two transactions in a hundred are aborted by the mesh',
      series: finished({ committed: '0+980x30', NO_LEADER: '0+20x30' }),
      at: '20m',
      fires: [{ labels: {}, value: '2%' }],
    },
    {
      what: 'is quiet when callers conflict',
      series: finished({ committed: '0+500x30', LOCK_CONFLICT: '0+300x30', PRECONDITION_FAILED: '0+200x30' }),
      at: '20m',
      fires: [],
    },
    {
      what: 'is quiet when callers leave what they began, or give it no time',
      series: finished({ committed: '0+500x30', left: '0+300x30', short_timeout: '0+200x30' }),
      at: '20m',
      fires: [],
    },
    { what: 'is quiet soon after it has ended', series: finished({ committed: '0+980x60', OVERLOADED: '0+20x10 200x50' }), at: '50m', fires: [] },
  ],
  TransactionBudgetBurnsSlowly: [
    {
      what: 'fires when four transactions in a thousand are aborted by the mesh for a quarter of an hour and more',
      series: finished({ committed: '0+996x200', NO_LEADER: '0+4x200' }),
      at: '3h',
      fires: [{ labels: {}, value: '0.4%' }],
    },
    { what: 'is quiet when one in two thousand is', series: finished({ committed: '0+1999x400', NO_LEADER: '0+1x400' }), at: '6h', fires: [] },
  ],
};
