/** The commands beside serving, and their settings: those of the server that say where the store is, and their own. */

import { text } from './rules.ts';
import { setting, SETTINGS, type Settings } from './table.ts';

const { store, dataDir, etcdEndpoints, etcdUser, etcdPassword, etcdCa, etcdCert, etcdKey, etcdPrefix } = SETTINGS;
/** Where the records are. */
const STORE = { store, dataDir, etcdEndpoints, etcdUser, etcdPassword, etcdCa, etcdCert, etcdKey, etcdPrefix };

export const COMMANDS = {
  backup: {
    help: 'writes everything that a cluster has stored, as it is at one moment, to a file, while servers run',
    settings: { ...STORE, output: setting('output', text(), undefined, 'the file to write; - is standard output') },
  },
  restore: {
    help: 'puts a backup into an empty store; servers start on it afterwards',
    settings: { ...STORE, input: setting('input', text(), undefined, 'the file to restore') },
  },
  'raise-epochs': {
    help: 'makes a store fit to serve that was put back by other means than restore; before any server starts on it',
    settings: STORE,
  },
} as const;

export type CommandName = keyof typeof COMMANDS;
type StoreSettings = Pick<Settings, keyof typeof STORE>;
/** Settings without a default may be undefined. */
export type CommandSettings<Name extends CommandName> = StoreSettings & {
  readonly [K in Exclude<keyof (typeof COMMANDS)[Name]['settings'], keyof typeof STORE>]: string | undefined;
};

export function isCommand(name: string | undefined): name is CommandName {
  return name !== undefined && Object.hasOwn(COMMANDS, name);
}
