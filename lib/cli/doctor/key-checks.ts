import type { BackendProfile, SecurityProfile } from '../../contracts/security-profile.js'
import type { Finding } from './finding.js'

/** Checks for keys and secrets that a finished rotation has left behind. */
export function checkKeys ({ backends, secrets }: SecurityProfile): readonly Finding[] {
  return [...checkOldSecrets(secrets), ...backends.flatMap(checkBackendKeys)]
}

function checkOldSecrets ({ count }: SecurityProfile['secrets']): readonly Finding[] {
  if (count === 1) return []
  const text =
    `${count - 1} of ${count} secrets only verify; remove them when their time has passed, which ` +
    '`npx fastify-users rotate-secret` computes'
  return [{ level: 'warn', about: 'secret', text }]
}

function checkBackendKeys ({ name, keys: [, ...others] }: BackendProfile): readonly Finding[] {
  const about = `backend ${name}`
  return others.flatMap(({ kid, canSign, isPublic, algorithm }): Finding[] => {
    const key = `the key ${kid === null ? 'without kid' : `"${kid}"`}`
    if (!canSign) {
      const text = `${key} only verifies; remove it when the last token that it signed has expired`
      return [{ level: 'ok', about, text }]
    }
    // a shared secret verifies and signs
    if (algorithm.startsWith('HS')) return []
    const text = `${key} does not sign, but its private part is configured; keep only publicKey${isPublic ? '' : ', or remove it'}`
    return [{ level: 'warn', about, text }]
  })
}
