// The straightforward Haraka plugin: the same work as plain_smtp.py, with Haraka's own body parser.
// ioredis + amqplib's confirm channel; attachments are files before the mail is answered; the raw mail is not kept.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const amqp = require("amqplib");
const Redis = require("ioredis");

const { AMQP_URL, FOLDER, REDIS_URL } = process.env;
const EXCHANGE = "events";
const QUEUE = "helpdesk";
const ROUTING_KEY = "v1.email.mail.message.received";
const WINDOW_SECS = 604800;
const FILES = path.join(FOLDER, "attachments");

let redis, channel;

exports.register = function () {
  this.register_hook("init_master", "connect");
  this.register_hook("init_child", "connect");
};

exports.connect = async function (next) {
  await fs.promises.mkdir(FILES, { recursive: true });
  redis = new Redis(REDIS_URL);
  const connection = await amqp.connect(AMQP_URL);
  channel = await connection.createConfirmChannel();
  await channel.assertExchange(EXCHANGE, "topic", { durable: true });
  await channel.assertQueue(QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.bindQueue(QUEUE, EXCHANGE, "v1.*.*.message.#");
  await fs.promises.writeFile(path.join(FOLDER, "connected"), ""); // Haraka listens before that
  next();
};

exports.hook_rcpt = function (next) {
  next(OK);
};

exports.hook_data = function (next, connection) {
  const { transaction } = connection;
  const files = (transaction.notes.files = []);
  transaction.parse_body = true;
  transaction.attachment_hooks((type, name, body, stream) => {
    stream.connection = connection; // lets the library hold the client back
    files.push(keep(type, name, stream));
  });
  next();
};

// Writes an attachment to disk, under the hash of its content, and says what it is.
async function keep(type, name, stream) {
  const data = await new Promise((resolve, reject) => {
    const chunks = [];
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => resolve(Buffer.concat(chunks)));
    stream.on("error", reject);
  });
  const sha256 = crypto.createHash("sha256").update(data).digest("hex");
  const temporary = path.join(FILES, crypto.randomUUID());
  const file = await fs.promises.open(temporary, "wx");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
  await fs.promises.rename(temporary, path.join(FILES, sha256));
  return { name, type, sha256 };
}

function texts(body, found = { plain: "", html: "" }) {
  if (body.ct?.startsWith("text/plain")) found.plain += body.bodytext;
  if (body.ct?.startsWith("text/html")) found.html += body.bodytext;
  for (const child of body.children) texts(child, found);
  return found;
}

function toRpc(transaction, id, attachments) {
  const { header } = transaction;
  const said = texts(transaction.body);
  return {
    jsonrpc: "2.0",
    method: "message.received",
    params: {
      event_id: id,
      channel: { id: "mail", type: "email" },
      conversation: header.get_decoded("From").trim(),
      sender: header.get_decoded("From").trim(),
      subject: header.get_decoded("Subject").trim(),
      sent_at: header.get("Date").trim(),
      received_at: new Date().toISOString(),
      text: said.plain,
      html: said.html,
      attachments,
    },
  };
}

function publish(id, body) {
  const options = {
    persistent: true,
    messageId: id,
    type: "message.received",
    contentType: "application/json",
    timestamp: Math.floor(Date.now() / 1000),
  };
  return new Promise((resolve, reject) => {
    channel.publish(EXCHANGE, ROUTING_KEY, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

exports.hook_queue = async function (next, connection) {
  const { transaction } = connection;
  const id = crypto
    .createHash("sha256")
    .update(`mail:${transaction.header.get("Message-ID").trim()}`)
    .digest("hex")
    .slice(0, 32);
  const key = `dedup:${id}`;
  try {
    if ((await redis.set(key, "1", "EX", WINDOW_SECS, "NX")) === null) return next(OK);
    const files = await Promise.all(transaction.notes.files);
    await publish(id, Buffer.from(JSON.stringify(toRpc(transaction, id, files))));
    next(OK);
  } catch (error) {
    await redis.del(key).catch(() => {});
    next(DENYSOFT, "try again");
  }
};
