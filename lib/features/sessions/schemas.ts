import { component, Type, type Static } from '../../feature/index.js'

const nullable = (description: string) => Type.Union([Type.String(), Type.Null()], { description })
const time = (description: string) =>
  Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description })

/** A session as its user sees it. */
export const UserSessionRead = Type.Object(
  {
    id: Type.String({ description: 'Public id of the session. It is not the token.' }),
    is_current: Type.Boolean({ description: 'True for the session of this request.' }),
    can_end: Type.Boolean({ description: 'False if it ends only together with all sessions of the user.' }),
    backend: nullable('Name of the backend.'),
    methods: Type.Array(Type.String(), { description: 'Methods of the login, such as `password`.' }),
    is_remembered: Type.Boolean({ description: 'True if the user asked for a longer session.' }),
    device: Type.Object({
      browser: nullable('Name of the browser, such as `Firefox`.'),
      system: nullable('Name of the operating system, such as `Android`.'),
      kind: nullable('Kind of device, such as `desktop` or `mobile`.')
    }),
    ip_address: nullable('IP address of the last recorded use.'),
    created_at: time('Time of the login.'),
    last_seen_at: time('Time of the last use, accurate to a minute.')
  },
  component('UserSession')
)

/** A page of sessions. */
export const UserSessionPage = Type.Object(
  {
    sessions: Type.Array(UserSessionRead),
    next: nullable('Value of `after` for the next page.')
  },
  component('UserSessionPage')
)

/** Query of the routes that list sessions. */
export const SessionListQuery = Type.Object({
  limit: Type.Optional(Type.String({ pattern: '^(?:[1-9][0-9]?|100)$', description: '1 to 100. Default: 100.' })),
  after: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,16}\\.[\\x21-\\x7e]{1,64}$', description: 'The `next` of the previous page.' })
  )
})
export type SessionListQuery = Static<typeof SessionListQuery>
