/** Every dashboard, by the name of its file in deploy/components/grafana/dashboards. */

import { coordinator } from './coordinator.ts';
import { counter } from './counter.ts';
import { toGrafana, type Dashboard } from './dashboard.ts';
import { toJson } from './json.ts';
import { etcd } from './etcd.ts';
import { nodeRuntime } from './node-runtime.ts';
import { overview } from './overview.ts';
import { participants } from './participants.ts';
import { queue } from './queue.ts';

export const DASHBOARDS: Readonly<Record<string, Dashboard>> = { overview, coordinator, participants, queue, counter, etcd, node: nodeRuntime };

/** The content of a dashboard's file. */
export const fileOf = (dashboard: Dashboard): string => `${toJson(toGrafana(dashboard))}\n`;
