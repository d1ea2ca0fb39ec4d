import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Mailbox } from './mailbox.js'
import { listPage, MAIL_POLICY, mailPage, PAGE_POLICY } from './pages.js'

const LOOPBACK_IP = /^(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|::ffff:127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/
const LOOPBACK_HOST = /^(?:(?:[a-z0-9-]{1,63}\.)?localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::\d{1,5})?$/i
// @fastify/swagger declares the property and leaves such routes out
const HIDDEN = { hide: true } as FastifySchema

/** Registers the pages that show the mails of a mailbox. `path` is the full path of the list. */
export function addMailPages (scope: FastifyInstance, mailbox: Mailbox, path: string): void {
  scope.addHook('onRequest', refuseOthers)
  const options = { schema: HIDDEN, exposeHeadRoute: false }

  scope.get('/', options, (_request, reply) => sendPage(reply, PAGE_POLICY, listPage(mailbox.list(), path)))

  scope.get<{ Params: { id: string } }>('/:id', options, (request, reply) => {
    const mail = mailbox.get(Number(request.params.id))
    return mail === undefined ? sendMissing(reply) : sendPage(reply, PAGE_POLICY, mailPage(mail, path))
  })

  scope.get<{ Params: { id: string } }>('/:id/html', options, (request, reply) => {
    const mail = mailbox.get(Number(request.params.id))
    return mail === undefined ? sendMissing(reply) : sendPage(reply, MAIL_POLICY, mail.html)
  })
}

/**
 * Refuses requests from other machines, whose users could read the tokens, and requests with another host: a page of
 * another site can make its own host name lead to this machine (DNS rebinding).
 */
async function refuseOthers ({ headers, raw }: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const isForwarded = headers['x-forwarded-for'] !== undefined || headers['forwarded'] !== undefined
  const host = headers.host ?? headers[':authority']
  const isLocal = LOOPBACK_IP.test(raw.socket.remoteAddress ?? '') && LOOPBACK_HOST.test(String(host ?? ''))
  if (isLocal && !isForwarded) return undefined
  return sendText(reply, 403, 'The mails of fastify-users are shown only to browsers on the same machine, under http://localhost.')
}

function sendPage (reply: FastifyReply, policy: string, html: string): FastifyReply {
  return secureReply(reply, policy).type('text/html; charset=utf-8').send(html)
}

function sendMissing (reply: FastifyReply): FastifyReply {
  return sendText(reply, 404, 'There is no such mail. The process keeps the last 100 mails until it ends.')
}

function sendText (reply: FastifyReply, status: number, text: string): FastifyReply {
  return secureReply(reply, PAGE_POLICY).code(status).type('text/plain; charset=utf-8').send(text)
}

function secureReply (reply: FastifyReply, policy: string): FastifyReply {
  return reply.headers({
    'content-security-policy': policy,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin'
  })
}
