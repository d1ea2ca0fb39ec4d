/**
 * Spans and metrics for OpenTelemetry.
 *
 * @module fastify-users/opentelemetry
 */

import {
  defineFeature,
  FST_USERS_INVALID_OPTION,
  type Feature,
  type FeatureKit,
  type FeatureParts
} from '../../feature/index.js'
import { subscribeMetrics } from './metrics.js'
import type { OpenTelemetryApi } from './names.js'
import { subscribeSpans } from './spans.js'

/**
 * Creates the feature that reports logins and hashes to OpenTelemetry: spans, counters and histograms. It needs the
 * package `@opentelemetry/api`, and reports to the SDK that the application has started. It reports all registrations
 * of the process, so list it once.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, features: [opentelemetry()] })
 */
export function opentelemetry (): Feature {
  return defineFeature({ name: 'opentelemetry', setup: startOpentelemetry })
}
export default opentelemetry

async function startOpentelemetry (kit: FeatureKit): Promise<FeatureParts<unknown>> {
  const api = await loadApi()
  const unsubscribe = [subscribeSpans(api), subscribeMetrics(api)]
  kit.scope.addHook('onClose', async () => {
    for (const end of unsubscribe) end()
  })
  return {}
}

async function loadApi (): Promise<OpenTelemetryApi> {
  try {
    return await import('@opentelemetry/api')
  } catch (cause) {
    throw FST_USERS_INVALID_OPTION(['features["opentelemetry"]', 'needs a package: npm i @opentelemetry/api'], { cause })
  }
}
