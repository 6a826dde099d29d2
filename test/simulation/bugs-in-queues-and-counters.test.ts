import { BUGS } from './bugs.ts';
import { expectToFind } from './find.ts';

expectToFind(BUGS.filter(({ switches }) => switches.queue !== undefined || switches.counter !== undefined));
