// The CommonJS packages that every application loads. This file is CommonJS too: Node.js loads such a package with
// `require` in a third of the time of `import`, which first parses the code of the package to find the names of its
// exports. Packages behind a function are loaded by its first call, because few starts need them.
import path = require('node:path')
import cookie = require('@fastify/cookie')
import createError = require('@fastify/error')
import fastifyJwt = require('@fastify/jwt')
import fp = require('fastify-plugin')
import type argon2 = require('@node-rs/argon2')
import type ajv = require('ajv')
import type ajvFormats = require('ajv-formats')
import type fastJsonStringify = require('fast-json-stringify')

const { fastifyCookie } = cookie

const loadArgon2 = (): typeof argon2 => require('@node-rs/argon2') as typeof argon2
const loadAjv = (): typeof ajv => require('ajv') as typeof ajv
const loadAjvFormats = (): typeof ajvFormats => require('ajv-formats') as typeof ajvFormats
const loadFastJsonStringify = (): typeof fastJsonStringify =>
  require('fast-json-stringify') as typeof fastJsonStringify

/** Returns true if the native module of argon2 is installed for this platform. */
function hasArgon2Binding (): boolean {
  const manifest = require.resolve('@node-rs/argon2/package.json')
  const { optionalDependencies } = require(manifest) as { optionalDependencies: Record<string, string> }
  const paths = [path.dirname(manifest)]
  return Object.keys(optionalDependencies).some((name) => {
    if (!name.includes(`${process.platform}-${process.arch}`)) return false
    try {
      return require.resolve(name, { paths }) !== ''
    } catch {
      return false
    }
  })
}

// a missing package fails the start, not the first login
if (!hasArgon2Binding()) loadArgon2()

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
