// Messages that are published, delivered and acknowledged.
import { Trend } from 'k6/metrics';
import { conclude, until } from '../lib/audit.js';
import { Session } from '../lib/ids.js';
import { Ledger } from '../lib/ledger.js';
import { acknowledge, backlogOf, createTopic, deleteTopic, publish, pull } from '../lib/messages.js';
import { encode } from '../lib/mesh.js';
import { below, newRunName } from '../lib/run.js';

const AT_ONCE = 100;
const KEYS = Number(__ENV.KEYS || 200);
const BYTES = Number(__ENV.SIZE || 100);
const data = encode('x'.repeat(BYTES));

const messages = new Ledger('messages');
/** From before the publish to the delivery. */
const deliveryDelay = new Trend('delivery_delay', true);
const session = new Session();

function open() {
  const topic = newRunName();
  const subscription = `${topic}-readers`;
  createTopic(topic, subscription);
  return { topic, subscription };
}

function send({ topic }) {
  const message = { data, orderingKey: `key-${below(KEYS)}`, attributes: { sentMs: String(Date.now()) } };
  messages.write(1, () => publish(topic, message, session.next()));
}

function receive({ subscription }, maxMessages = AT_ONCE) {
  const received = pull(subscription, maxMessages);
  if (received.length === 0) return;
  const nowMs = Date.now();
  for (const { message } of received) deliveryDelay.add(nowMs - Number(message.attributes.sentMs));
  messages.take(received.length, () => acknowledge(subscription, received.map(({ ackId }) => ackId)));
}

/** What is left is received too: then every message that was published has been acknowledged, once. */
function audit(run) {
  const backlog = backlogOf(run.subscription);
  console.log(`${backlog} messages were left`);
  until('to receive what was left', () => {
    receive(run, 1000);
    return backlogOf(run.subscription) === 0;
  });
  conclude({ backlog: [backlogOf(run.subscription), 0] });
  deleteTopic(run.topic, run.subscription);
}

export const queue = {
  open,
  audit,
  flows: { publish: { run: send, share: 1 }, receive: { run: receive, share: 0.1 } },
  timed: ['publish', 'acknowledge'],
  thresholds: messages.thresholds,
};
