// The CommonJS packages that every application loads. This file is CommonJS too: Node.js loads such a package with
// `require` in a third of the time of `import`, which first parses the code of the package to find the names of its
// exports. Packages behind a function are loaded by its first call, because few starts need them.
import cookie = require('@fastify/cookie')
import createError = require('@fastify/error')
import fastifyJwt = require('@fastify/jwt')
import fp = require('fastify-plugin')
import type argon2 = require('@node-rs/argon2')
import type ajv = require('ajv')
import type ajvFormats = require('ajv-formats')
import type fastJsonStringify = require('fast-json-stringify')

const { fastifyCookie } = cookie

require.resolve('@node-rs/argon2') // a missing package fails the start, not the first login

const loadArgon2 = (): typeof argon2 => require('@node-rs/argon2') as typeof argon2
const loadAjv = (): typeof ajv => require('ajv') as typeof ajv
const loadAjvFormats = (): typeof ajvFormats => require('ajv-formats') as typeof ajvFormats
const loadFastJsonStringify = (): typeof fastJsonStringify =>
  require('fast-json-stringify') as typeof fastJsonStringify

export = {
  createError,
  fastifyCookie,
  fastifyJwt,
  fp,
  loadArgon2,
  loadAjv,
  loadAjvFormats,
  loadFastJsonStringify
}
