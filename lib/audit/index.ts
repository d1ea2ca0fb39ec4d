export { AUDIT_CHANNEL } from './audit-log.js'
export { readAuditOptions } from './audit-options.js'
export { startAudit } from './start-audit.js'
