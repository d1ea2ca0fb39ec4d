import type { OpenedPage } from './chromium.js'

/** Chromium's virtual authenticator (Chrome DevTools Protocol, domain WebAuthn). */
export interface VirtualAuthenticator {
  /** Decides whether its user answers, as if touching a sensor. */
  answers(enabled: boolean): Promise<void>
  /** Decides whether it recognizes its user. At first, it does. */
  verifies(isUserVerified: boolean): Promise<void>
  count(): Promise<number>
  /** Deletes all passkeys. Of several ones, it would answer with any. */
  clear(): Promise<void>
}

/** Adds an authenticator with a PIN or a sensor to the browser of a page. At first, its user does not answer. */
export async function addAuthenticator (
  { context, page }: Pick<OpenedPage, 'context' | 'page'>
): Promise<VirtualAuthenticator> {
  const cdp = await context.newCDPSession(page)
  await cdp.send('WebAuthn.enable', { enableUI: false })
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: false
    }
  })
  return {
    async answers (enabled) {
      await cdp.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled })
    },
    async verifies (isUserVerified) {
      await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified })
    },
    count: async () => (await cdp.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length,
    async clear () {
      await cdp.send('WebAuthn.clearCredentials', { authenticatorId })
    }
  }
}
