/** `npm run dashboards` writes the JSON files that Grafana is given. Change the dashboards here, not there. */

import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readFlags } from '../local/flags.ts';
import { DASHBOARDS, fileOf } from './all.ts';

readFlags('npm run dashboards: writes the JSON files of deploy/components/grafana/dashboards from deploy/dashboards', {});

const folder = resolve(import.meta.dirname, '../components/grafana/dashboards');
for (const [name, dashboard] of Object.entries(DASHBOARDS)) writeFileSync(join(folder, `${name}.json`), fileOf(dashboard));
console.log(`txmesh: wrote ${Object.keys(DASHBOARDS).length} dashboards to deploy/components/grafana/dashboards`);
