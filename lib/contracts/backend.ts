import type { Strategy, StrategyDefinition } from './strategy.js'
import type { Transport, TransportDefinition, TransportDescription } from './transport.js'

/** An authentication backend: a transport, which carries the token, and a strategy, which creates and checks it. */
export interface BackendOptions {
  /** Unique name; part of the routes' paths. Lower-case letters, digits, `-` and `_`. */
  name: string
  transport: TransportDefinition
  strategy: StrategyDefinition
  /**
   * True if login and logout require a verified e-mail. Default: the setting of `routes.auth`, otherwise that of the
   * plugin.
   */
  requireVerification?: boolean
}

/** A backend of a running application. */
export interface Backend {
  readonly name: string
  readonly transport: Transport
  readonly strategy: Strategy
  readonly description: TransportDescription
  /** Login and logout require a verified e-mail. */
  readonly requireVerification: boolean
}
