import type { Strategy, StrategyDefinition } from './strategy.js'
import type { Transport, TransportDefinition, TransportDescription } from './transport.js'

/** One way to be logged in: how the token travels and how it is made. */
export interface BackendOptions {
  /** Unique among the backends; part of the routes' path. Lower-case letters, digits, `-` and `_`. */
  name: string
  transport: TransportDefinition
  strategy: StrategyDefinition
  /** Login and logout at this backend need a verified e-mail (default: that of `routes.auth`, or of the users). */
  requireVerification?: boolean
}

/** A backend that is ready. */
export interface Backend {
  readonly name: string
  readonly transport: Transport
  readonly strategy: Strategy
  readonly description: TransportDescription
  /** Login and logout need a verified e-mail. */
  readonly requireVerification: boolean
}
