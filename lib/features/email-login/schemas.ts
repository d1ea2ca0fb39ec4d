import { component, KnownEmail, Type, type Static } from '../../feature/index.js'

const TOKEN_LENGTH = 43
const secret = Type.Optional(Type.String({ maxLength: TOKEN_LENGTH }))

/** Body of a request for a login. */
export const EmailLoginBody = Type.Object({ email: KnownEmail }, component('EmailLogin'))
export type EmailLoginBody = Static<typeof EmailLoginBody>

/** Reply to a request for a login. */
export const EmailLoginTicketReply = Type.Object(
  {
    ticket: Type.String({ description: 'Belongs to this client. Send it with the code, or with the token of the link.' }),
    expires_in: Type.Integer({ description: 'Seconds for which the mail can be used.' })
  },
  component('EmailLoginTicket')
)

/** Body that finishes a login: `ticket` and `code`, or `token`. */
export const EmailLoginConfirmBody = Type.Object(
  {
    ticket: secret,
    code: Type.Optional(Type.String({ maxLength: 32, examples: ['7KQ2-M4XP'] })),
    token: secret,
    other_browser: Type.Optional(
      Type.Boolean({ description: 'The person has confirmed the login with a link that another browser requested.' })
    )
  },
  component('EmailLoginConfirmation')
)
export type EmailLoginConfirmBody = Static<typeof EmailLoginConfirmBody>
