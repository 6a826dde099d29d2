import { expect, test } from 'vitest';
import { isLoopback } from './loopback.ts';

test.each(['localhost', 'localhost:1', '127.0.0.1', '127.0.0.1:50051', '127.9.8.7:1', '::1', '[::1]', '[::1]:50051', '::ffff:127.0.0.1', '[::ffff:127.0.0.1]:1'])(
  '%s stays on this machine',
  (address) => expect(isLoopback(address)).toBe(true),
);

test.each(['127.evil.example', '127.0.0.1.evil.example:1', 'localhost.evil.example', '10.0.0.7:1', '[::2]:1', '::2', '2001:db8::1:1', '128.0.0.1', '::ffff:10.0.0.1', ''])(
  '%j may lead elsewhere',
  (address) => expect(isLoopback(address)).toBe(false),
);
