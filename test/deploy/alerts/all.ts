/** Every alert with what it is shown: at least once it fires, and at least once it does not. */

import type { AlertCases } from './alert-case.ts';
import { etcd } from './etcd.ts';
import { objectives } from './objectives.ts';
import { queuesAndCounters } from './queues-and-counters.ts';
import { servers } from './servers.ts';
import { store } from './store.ts';
import { telemetry } from './telemetry.ts';
import { transactions } from './transactions.ts';

export const ALERT_CASES: AlertCases = { ...servers, ...transactions, ...queuesAndCounters, ...store, ...etcd, ...objectives, ...telemetry };
