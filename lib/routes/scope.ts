import type { FastifyInstance, FastifySchema } from 'fastify'
import type { AuditLog } from '../contracts/audit.js'
import type { Settings } from '../contracts/settings.js'
import { validationError } from '../errors.js'
import { compileLazily, type LazyAjv } from '../users/index.js'
import { handleErrors } from './error-handler.js'
import { addJsonParser } from './parsers.js'
import { logWithoutQuery } from './request-log.js'
import { compileSerializer } from './serializer.js'

/**
 * Prepares a scope for the plugin's routes: parsers, strict validation, error replies, `Cache-Control: no-store`, and
 * log lines without the query. Settings that the application makes for its own routes have no effect in the scope, and
 * the scope does not change the routes of the application.
 */
export function prepareScope (
  scope: FastifyInstance,
  application: FastifyInstance,
  ajv: LazyAjv,
  settings: Settings,
  audit: AuditLog
): void {
  addJsonParser(scope)
  setCompilers(scope, ajv, settings)
  handleErrors(scope, application, settings, audit)
  settings.wire.operations.complete(scope)
  logWithoutQuery(scope)
  settings.wire.errors.prepareScope(scope)
  scope.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })
  closeConnectionsOnShutdown(scope)
}

/** Replaces the inherited compilers, serializers and formatters, which may not accept JSON Schemas. */
function setCompilers (scope: FastifyInstance, ajv: LazyAjv, settings: Settings): void {
  scope.setValidatorCompiler<FastifySchema>(({ schema }) => compileLazily(ajv, schema, settings))
  scope.setSerializerCompiler<object>(compileSerializer)
  // Fastify accepts null, its default, but the type does not
  scope.setReplySerializer(null as unknown as Parameters<FastifyInstance['setReplySerializer']>[0])
  scope.setSchemaErrorFormatter((errors, part) => {
    // the format of Fastify's default formatter
    return validationError(errors.map(({ instancePath, message }) => `${part}${instancePath} ${message}`).join(', '))
  })
}

/**
 * Closes the connection after each reply that is sent while the application closes. Otherwise it would stay open until
 * it times out.
 */
function closeConnectionsOnShutdown (scope: FastifyInstance): void {
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
