import type { Ajv } from 'ajv'
import type { FastifyInstance, FastifySchema } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import { compileLater } from '../users/index.js'
import { completeOperationIds } from './describe-route.js'
import { createErrorHandler } from './error-handler.js'
import { acceptLaxBooleans } from './fastapi-bodies.js'
import { addJsonParser } from './parsers.js'
import { logWithoutQuery } from './request-log.js'

/** Makes a scope ours: own parsers, strict validation, own error replies, no caching, no query in the log. The application's scopes are untouched. */
export function prepareScope (scope: FastifyInstance, ajv: Ajv, settings: Settings): void {
  addJsonParser(scope)
  scope.setValidatorCompiler<FastifySchema>(({ schema }) => compileLater(ajv, schema))
  scope.setErrorHandler(createErrorHandler(settings))
  completeOperationIds(scope, settings)
  logWithoutQuery(scope)
  if (settings.errorStyle === 'fastapi') acceptLaxBooleans(scope)
  scope.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })
  endConnections(scope)
}

/** Replies that are sent while the application closes end their connection, which would else stay open until it times out. */
function endConnections (scope: FastifyInstance): void {
  let closing = false
  scope.addHook('preClose', (done) => {
    closing = true
    done()
  })
  scope.addHook('onSend', (request, reply, _payload, done) => {
    if (closing && request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
    done()
  })
}
