/** The pages with tables that are written from the code, and how each is brought up to date. */

import { limitTables } from './limits.ts';
import { withTables } from './markdown.ts';
import { settingTables } from './settings.ts';

export const PAGES: Readonly<Record<string, (page: string) => string>> = {
  'docs/settings.md': (page) => withTables(page, settingTables()),
  'docs/limits.md': (page) => withTables(page, limitTables()),
};
