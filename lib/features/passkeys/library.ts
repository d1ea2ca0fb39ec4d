import { FST_USERS_INVALID_OPTION } from '../../feature/index.js'

type Server = typeof import('@simplewebauthn/server')
type Helpers = typeof import('@simplewebauthn/server/helpers')

/** The functions of `@simplewebauthn/server` that the feature uses. */
export interface Library {
  readonly verifyRegistrationResponse: Server['verifyRegistrationResponse']
  readonly verifyAuthenticationResponse: Server['verifyAuthenticationResponse']
  readonly decodeAttestationObject: Helpers['decodeAttestationObject']
}

/**
 * Loads the package. It happens at the start: during a request it would block all others. Throws
 * `FST_USERS_INVALID_OPTION` if the package is missing.
 */
export async function loadLibrary (): Promise<Library> {
  try {
    const server = await import('@simplewebauthn/server')
    const { decodeAttestationObject } = await import('@simplewebauthn/server/helpers')
    const { verifyRegistrationResponse, verifyAuthenticationResponse } = server
    return { verifyRegistrationResponse, verifyAuthenticationResponse, decodeAttestationObject }
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw FST_USERS_INVALID_OPTION([
      'features["passkeys"]',
      'needs the package @simplewebauthn/server 14; run `npm install @simplewebauthn/server@14`'
    ])
  }
}
