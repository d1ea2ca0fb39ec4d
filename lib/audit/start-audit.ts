import type { FastifyBaseLogger } from 'fastify'
import type { AuditLog } from '../contracts/audit.js'
import type { Settings } from '../contracts/settings.js'
import type { Background, HookRegistry } from '../hooks/index.js'
import { createAuditLog } from './audit-log.js'

/** Creates the audit log. It reports the hooks, and passes its events to the listeners of `onAudit` after the reply. */
export function startAudit (
  log: FastifyBaseLogger,
  { name, clock, auditEmails }: Settings,
  hooks: HookRegistry,
  background: Background,
  [key]: [string, ...string[]]
): AuditLog {
  const { auditListeners } = hooks
  const audit = createAuditLog(
    { tenant: name, clock, emails: auditEmails, key },
    {
      hasListeners: () => auditListeners.length > 0,
      deliver (event, context) {
        for (const hook of auditListeners) background.run(async () => hook(event, context), context.reply)
      },
      report (error) {
        log.error({ err: error }, 'fastify-users: an audit event was not created')
      }
    }
  )
  hooks.observe(audit.observe)
  return audit
}
