import {
  contextOf,
  describeDevice,
  FST_USERS_UNKNOWN_BACKEND,
  generateOpaqueToken,
  knownIp,
  parseEmail,
  type FeatureKit
} from '../../feature/index.js'
import { createBrowserBinding } from './browser.js'
import { createCodes } from './code.js'
import { createConfirm } from './confirm.js'
import type { EmailLoginApi } from './contracts.js'
import { mailRequest } from './mail-request.js'
import type { RequestRow } from './model.js'
import type { EmailLoginSettings } from './options.js'
import type { EmailLoginParts } from './parts.js'
import { createStoredRequests, digestLink, digestTicket } from './requests.js'

/** Creates the functions of the feature. `backends` lists the names of the backends that it serves. */
export function createEmailLogin (
  kit: FeatureKit,
  settings: EmailLoginSettings,
  backends: readonly string[]
): EmailLoginApi & Pick<EmailLoginParts, 'requests'> {
  const { lifetimeSeconds } = settings
  const parts: EmailLoginParts = {
    kit,
    settings,
    requests: createStoredRequests(kit),
    codes: createCodes(kit, lifetimeSeconds),
    browsers: createBrowserBinding(kit, lifetimeSeconds),
    backendNamed (name) {
      const backend = backends.includes(name) ? kit.users.backends.get(name) : undefined
      if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([name, backends.join(', ')])
      return backend
    }
  }
  return { requests: parts.requests, request: createRequest(parts), confirm: createConfirm(parts) }
}

/**
 * Stores a request for any e-mail. The user is looked up after the reply, so neither the work before the reply nor the
 * reply depends on the e-mail.
 */
function createRequest (parts: EmailLoginParts): EmailLoginApi['request'] {
  const { kit, settings, requests, codes, browsers } = parts
  return async (given, { backend: name, ...call }) => {
    const context = contextOf(call)
    const backend = parts.backendNamed(name)
    await kit.attempts.begin('email-login', { email: given, backend: name, context })
    const ticket = generateOpaqueToken()
    const reply = { ticket, expires_in: settings.lifetimeSeconds }
    const email = parseEmail(given)
    if (email === null) return reply // the schema of the route refuses it; no user has it
    const id = digestTicket(ticket)
    const code = settings.hasCode ? codes.create() : null
    const token = settings.hasLink ? generateOpaqueToken() : null
    const now = kit.clock()
    const { request } = context
    const row: RequestRow = {
      id,
      link: token === null ? null : digestLink(token),
      code: code === null ? null : codes.digest(code, id),
      backend: name,
      browser: browsers.bind(backend, context),
      email,
      user_id: null,
      stamp: null,
      signs_up: false,
      attempts: 0,
      data: { ip: knownIp(request?.ip ?? null), device: describeDevice(request?.headers['user-agent'] ?? null) },
      created_at: new Date(now),
      expires_at: new Date(now + settings.lifetimeSeconds * 1000)
    }
    const client = { ip: request?.ip ?? null, userAgent: request?.headers['user-agent'] ?? null }
    await requests.add(row, context)
    kit.background(() => mailRequest(parts, row, { code, token, ...client }, context), context.reply)
    return reply
  }
}
