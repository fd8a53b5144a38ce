// Preloaded into kinesis-mock, the Kinesis that LocalStack starts: it would listen on every interface, and outlive a
// LocalStack that was killed.
"use strict";

const net = require("node:net");

const LOOPBACK = "127.0.0.1";
const PARENT_POLL_MS = 500;

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...wanted) {
  if (typeof wanted[0] === "number") {
    wanted.splice(1, typeof wanted[1] === "string" ? 1 : 0, LOOPBACK);
  }
  return listen.apply(this, wanted);
};

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit();
}, PARENT_POLL_MS).unref();
