// node s3_server.js PACKAGE FOLDER PORT KEY SECRET BUCKET...: s3rver with an account of the tests, on loopback or S3_HOST.
// What s3rver itself lets pass is refused in S3's words: requests without a signature, expired session tokens,
// and whatever would change a bucket named `read-only`. On SIGUSR2 its clock goes an hour ahead.
'use strict';
const [package_, directory, port, key, secret, ...buckets] = process.argv.slice(2);
const S3rver = require(`${package_}/lib/s3rver`);
const S3Error = require(`${package_}/lib/models/error`);
const { DUMMY_ACCOUNT } = require(`${package_}/lib/models/account`);

DUMMY_ACCOUNT.revokeAccessKey('S3RVER');
DUMMY_ACCOUNT.createKeyPair(key, secret);

const server = new S3rver({
  directory, port: Number(port), address: process.env.S3_HOST || '127.0.0.1', silent: true, vhostBuckets: false,
  configureBuckets: buckets.map((name) => ({ name, configs: [] })),
});
server.middleware.splice(-1, 0, (ctx, next) => {
  const changes = !['GET', 'HEAD'].includes(ctx.method);
  if (ctx.get('x-amz-security-token') === 'expired') {
    throw new S3Error('ExpiredToken', 'The provided token has expired.');
  }
  const signed = 'authorization' in ctx.headers || 'X-Amz-Signature' in ctx.query;
  if (!signed || (changes && ctx.path.startsWith('/read-only'))) {
    throw new S3Error('AccessDenied', 'Access Denied');
  }
  return next();
});
process.on('SIGUSR2', () => {
  const { Date } = global;
  global.Date = class extends Date {
    constructor(...given) { super(...(given.length ? given : [Date.now() + 3600e3])); }
  };
});
server.run();
