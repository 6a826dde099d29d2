/**
 * Page tokens: where a listing goes on. Opaque to callers: bound to the question that they continue,
 * and checked, so that a token of another question is an error and not a wrong page.
 */

import { hash } from 'node:crypto';
import type { Rule } from './rules.ts';

const CHECK_DIGITS = 16;
const MAX_TOKEN_LENGTH = 8192;

/** A partition, or -1 where all are listed together, and the key after which to go on. */
export interface PagePosition {
  readonly partition: number;
  readonly after: string;
}

/** @param question what the listing is of, for example the request without its page. */
export function encodePageToken(question: string, { partition, after }: PagePosition): string {
  const text = JSON.stringify([partition, after]);
  return Buffer.from(check(question, text) + text).toString('base64url');
}

/** The position, or undefined if the token was not made for this question. */
export function decodePageToken(question: string, token: string): PagePosition | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  const plain = Buffer.from(token, 'base64url').toString();
  const text = plain.slice(CHECK_DIGITS);
  if (plain.slice(0, CHECK_DIGITS) !== check(question, text)) return undefined;
  const [partition, after] = JSON.parse(text) as [number, string];
  return { partition, after };
}

/** A token that was made for this question. */
export function pageToken(question: string): Rule<string> {
  return (token, path, found) => {
    if (token !== '' && decodePageToken(question, token) === undefined)
      found.add(path, 'must be empty, or the next_page_token of a page of the same question');
  };
}

const check = (question: string, text: string): string => hash('sha256', `${question}\0${text}`).slice(0, CHECK_DIGITS);
