import type { FastifyPluginAsync } from 'fastify'
import {
  AUDIT_OUTCOMES,
  AuditEvent,
  component,
  describeRoute,
  errorReplies,
  replyOf,
  superuserGuard,
  Type,
  type FeatureKit,
  type Static
} from '../../feature/index.js'
import { readEvents } from './event-reader.js'

/** Options of the plugin that registers the route. */
export interface AuditRoutesOptions {
  readonly kit: FeatureKit
  readonly path: string
}

const StoredEvent = Type.Object(
  { id: Type.String({ maxLength: 32, description: 'Id of the stored event.' }), ...AuditEvent.properties },
  component('StoredAuditEvent')
)
const Page = Type.Object(
  {
    events: Type.Array(StoredEvent),
    next: Type.Union([Type.String(), Type.Null()], { description: 'Value of `after` for the next page.' })
  },
  component('AuditPage')
)

const Query = Type.Object({
  user: Type.Optional(Type.String({ maxLength: 64, description: 'Id of the user whom the events concern.' })),
  actor: Type.Optional(Type.String({ maxLength: 64, description: 'Id of the user who acted.' })),
  event: Type.Optional(Type.String({ maxLength: 64, description: 'Name of the events, such as `login`.' })),
  outcome: Type.Optional(Type.Unsafe<AuditEvent['outcome']>({ type: 'string', enum: [...AUDIT_OUTCOMES] })),
  from: Type.Optional(Type.String({ format: 'date-time', maxLength: 64, description: 'Time of the oldest event.' })),
  to: Type.Optional(Type.String({ format: 'date-time', maxLength: 64, description: 'Time after the newest event.' })),
  limit: Type.Optional(Type.String({ pattern: '^(?:[1-9][0-9]?|100)$', description: '1 to 100. Default: 50.' })),
  after: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$', description: 'The `next` of the previous page.' }))
})

/** Registers the route with which superusers read events page by page. */
export const auditRoutes: FastifyPluginAsync<AuditRoutesOptions> = async (scope, { kit, path }) => {
  const { settings } = kit
  scope.get<{ Querystring: Static<typeof Query> }>(
    path,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['audit'],
          operation: 'auditEvents',
          summary: 'Read audit events',
          description: 'The newest events come first. All given conditions must hold.'
        }),
        querystring: Query,
        response: {
          200: replyOf(Page, 'A page of events.'),
          ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', 'BAD_REQUEST', 'VALIDATION')
        }
      },
      onRequest: superuserGuard(settings),
      exposeHeadRoute: false
    },
    async ({ query: { from, to, limit, ...rest } }) =>
      readEvents(kit, {
        ...rest,
        ...(from === undefined ? {} : { from: new Date(from) }),
        ...(to === undefined ? {} : { to: new Date(to) }),
        ...(limit === undefined ? {} : { limit: Number(limit) })
      })
  )
}
